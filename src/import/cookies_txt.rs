//! Netscape's `cookies.txt`, in every dialect in use.
//!
//! Seven fields with a tab between: domain, whether for its subdomains, path, whether Secure, expiry, name, value.
//! Accepted beside that: no header line, CRLF, a byte order mark, an empty value without its tab, a missing path,
//! expiries with a fraction or empty, and spaces for the tabs (with a warning, since a copy out of a web page made
//! them and a value with spaces in it may have suffered). `#HttpOnly_` before the domain is HttpOnly; other lines
//! that begin with `#` are comments. Any other line refuses the file, and all such lines are named.

use super::{
    Error, Lines, Material, Options,
    collect::{Collector, Draft, Twice, expiry},
};

/// The expiry that our own export writes for a session cookie; see [`crate::export`].
pub(crate) const SESSION: f64 = 2_147_483_647.0;

pub(super) fn read(text: &[u8], options: &Options) -> Result<Material, Error> {
    if matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return Err(Error::Shape);
    }
    let mut collector = Collector::new(options);
    let (mut bad, mut spaced) = (Vec::new(), Vec::new());
    for (n, line) in text.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some((line, http_only)) = content(line) else {
            continue;
        };
        let fields = Fields::of(line);
        if fields.spaces {
            spaced.push((n + 1).to_string());
        }
        let read = fields
            .draft(http_only)
            .and_then(|draft| collector.add(draft, Twice::LastWins));
        if let Err(problem) = read {
            bad.push((n + 1, problem));
        }
    }
    if !bad.is_empty() {
        return Err(Error::Lines(Lines(bad)));
    }
    if !spaced.is_empty() {
        collector.warn(format!(
            "spaces were read as tabs in line {}",
            spaced.join(", ")
        ));
    }
    collector.finish()
}

/// Returns what a line says, and whether it says it of an HttpOnly cookie; `None`: nothing.
fn content(line: &[u8]) -> Option<(&[u8], bool)> {
    if let Some(rest) = line.strip_prefix(b"#HttpOnly_") {
        return Some((rest, true));
    }
    let blank = line.trim_ascii().is_empty();
    (!blank && !line.starts_with(b"#")).then_some((line, false))
}

/// The fields of a line, before their meaning.
#[derive(Debug)]
struct Fields<'a> {
    fields: Vec<&'a [u8]>,
    spaces: bool,
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn of(line: &'a [u8]) -> Self {
        let tabbed: Vec<_> = line.split(|b| *b == b'\t').collect();
        let spaces = tabbed.len() < 6 && line.contains(&b' ');
        let mut fields = if spaces { words(line, 7) } else { tabbed };
        // curl takes a line without a path.
        if fields.len() == 6 && is_flag(fields[2]) && !is_flag(fields[3]) {
            fields.insert(2, b"/");
        }
        match fields.len() {
            6 => fields.push(b""),
            // A tab at the end of the line, after the value.
            8 if fields[7].is_empty() => fields.truncate(7),
            _ => {}
        }
        Self { fields, spaces }
    }

    fn draft(&self, http_only: bool) -> Result<Draft<'a>, String> {
        let [domain, subdomains, path, secure, expires, name, value] = self.fields[..] else {
            return Err(format!("{} fields, not 7", self.fields.len()));
        };
        let text = |bytes: &'a [u8], what: &str| {
            std::str::from_utf8(bytes).map_err(|_| format!("the {what} is no UTF-8 text"))
        };
        Ok(Draft {
            name,
            value,
            domain: Some(text(domain, "domain")?.trim_ascii()),
            path: Some(text(path, "path")?).filter(|path| !path.is_empty()),
            host_only: !flag(subdomains, 2)?,
            secure: Some(flag(secure, 4)?),
            http_only,
            expires: match text(expires, "expiry")?.trim_ascii() {
                "" => None,
                number => end(number)?,
            },
            ..Draft::default()
        })
    }
}

fn end(number: &str) -> Result<Option<std::time::SystemTime>, String> {
    let seconds = number.parse::<f64>().ok().filter(|n| n.is_finite());
    match seconds.ok_or("field 5, the expiry, is no number")? {
        SESSION => Ok(None),
        seconds => Ok(expiry(seconds)),
    }
}

fn is_flag(field: &[u8]) -> bool {
    field.eq_ignore_ascii_case(b"TRUE") || field.eq_ignore_ascii_case(b"FALSE")
}

fn flag(field: &[u8], nth: usize) -> Result<bool, String> {
    if is_flag(field) {
        Ok(field.eq_ignore_ascii_case(b"TRUE"))
    } else {
        Err(format!("field {nth} is neither TRUE nor FALSE"))
    }
}

/// Splits at runs of white space into at most `most` words, the last one with the white space that is in it.
fn words(mut line: &[u8], most: usize) -> Vec<&[u8]> {
    let mut words = Vec::new();
    loop {
        line = line.trim_ascii();
        let end = line.iter().position(u8::is_ascii_whitespace);
        match end {
            Some(end) if words.len() + 1 < most => {
                words.push(&line[..end]);
                line = &line[end..];
            }
            _ if line.is_empty() => return words,
            _ => {
                words.push(line);
                return words;
            }
        }
    }
}
