//! A curl command line, as browsers' tools copy requests ("Copy as cURL"): in the quoting of POSIX shells, with
//! `$'…'`, or in that of Windows' `cmd`.
//!
//! What it says of cookies and of `Authorization` is taken, the rest of the request is not. Its cookies are assumed to
//! be for the host of its URL alone.

use std::{iter::Peekable, str::Chars};

use super::{
    Error, Material, Options,
    collect::Collector,
    header::{add_pairs, bearer, secret},
};
use crate::origin::{Authority, Host};

/// Options of one letter that take a value, those that are looked at and those that are passed over.
const SHORT: &[u8] = b"AbcCdDeEFhHKmoPQrtTuUwxXyYz";

/// Long options that take a value and are passed over; what is not known here takes none.
const LONG: &[&str] = &[
    "cacert",
    "cert",
    "connect-timeout",
    "cookie-jar",
    "data",
    "data-ascii",
    "data-binary",
    "data-raw",
    "data-urlencode",
    "dump-header",
    "form",
    "interface",
    "json",
    "key",
    "limit-rate",
    "max-redirs",
    "max-time",
    "output",
    "proxy",
    "range",
    "referer",
    "request",
    "resolve",
    "retry",
    "upload-file",
    "write-out",
];

/// What a command line says that is of use.
#[derive(Default)]
struct Said {
    url: Option<String>,
    cookies: Vec<String>,
    bearer: Option<String>,
    user_agent: Option<String>,
    warnings: Vec<String>,
}

pub(super) fn read(text: &[u8], options: &Options) -> Result<Material, Error> {
    let text = std::str::from_utf8(text).map_err(|_| Error::Encoding)?;
    let words = words(text)?;
    let mut words = words.into_iter();
    let program = words.next().ok_or(Error::Empty)?;
    let name = program.rsplit(['/', '\\']).next().unwrap_or_default();
    if !matches!(name, "curl" | "curl.exe") {
        return Err(Error::Shape);
    }
    let said = Said::of(words)?;
    let given = options.domain.clone();
    let host = match (given, &said.url) {
        (Some(host), _) => host,
        (None, Some(url)) => host_of(url)?,
        (None, None) => return Err(Error::NeedsDomain),
    };
    let of_url = Options {
        domain: Some(host),
        ..options.clone()
    };
    let mut material = Material::default();
    if !said.cookies.is_empty() {
        let mut collector = Collector::new(&of_url);
        for cookies in &said.cookies {
            let alone = options.domain.is_none();
            add_pairs(&mut collector, cookies.as_bytes(), alone)
                .map_err(|problem| failed("its cookies", problem))?;
        }
        material = collector.finish()?;
    }
    if let Some(token) = &said.bearer {
        let token = secret(token.as_bytes()).map_err(|problem| failed("its token", problem))?;
        material.fields.push(("access_token".to_owned(), token));
    }
    if material.cookies.is_empty() && material.fields.is_empty() {
        return Err(Error::Empty);
    }
    material.warnings.extend(said.warnings);
    material.user_agent = said.user_agent;
    Ok(material)
}

fn failed(place: &str, problem: impl Into<String>) -> Error {
    Error::Entry {
        place: place.to_owned(),
        problem: problem.into(),
    }
}

fn host_of(url: &str) -> Result<Host, Error> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let parsed = authority.parse::<Authority>();
    parsed
        .map(|authority| authority.host)
        .map_err(|error| failed("its URL", error.to_string()))
}

// === impl Said ===

impl Said {
    fn of(mut words: impl Iterator<Item = String>) -> Result<Self, Error> {
        let mut said = Self::default();
        while let Some(word) = words.next() {
            if let Some(long) = word.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (long.to_owned(), None),
                };
                let known = [
                    "cookie",
                    "header",
                    "user",
                    "user-agent",
                    "oauth2-bearer",
                    "url",
                ];
                if known.contains(&&*name) || LONG.contains(&&*name) {
                    let value = value.or_else(|| words.next());
                    said.option(&name, value)?;
                }
            } else if let Some(short) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                // Several in one word; the first that takes a value has the rest of it, or the next word.
                if let Some(at) = short.bytes().position(|b| SHORT.contains(&b)) {
                    let value = match &short[at + 1..] {
                        "" => words.next(),
                        rest => Some(rest.to_owned()),
                    };
                    let name = match short.as_bytes()[at] {
                        b'A' => "user-agent",
                        b'b' => "cookie",
                        b'H' => "header",
                        b'u' => "user",
                        _ => "",
                    };
                    said.option(name, value)?;
                }
            } else if said.url.is_none() {
                said.url = Some(word);
            }
        }
        Ok(said)
    }

    fn option(&mut self, name: &str, value: Option<String>) -> Result<(), Error> {
        let value = value.ok_or_else(|| failed("its last option", "its value is missing"))?;
        match name {
            "url" => self.url = Some(value),
            "oauth2-bearer" => self.bearer = Some(value),
            "user" => self.left_out("the user and password of -u (take them as `secrets`)"),
            "cookie" if !value.contains('=') => {
                let problem = "it names a file: import that one, with --from cookies-txt";
                return Err(failed("-b", problem));
            }
            "cookie" => self.cookies.push(value),
            "user-agent" => self.user_agent = Some(value),
            "header" => self.header(&value),
            _ => {}
        }
        Ok(())
    }

    fn header(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(':') else {
            return;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("cookie") {
            self.cookies.push(value.to_owned());
        } else if name.eq_ignore_ascii_case("user-agent") {
            self.user_agent = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("authorization") {
            match bearer(value.as_bytes()) {
                Some(token) => self.bearer = Some(String::from_utf8_lossy(token).into_owned()),
                None => self.left_out("its Authorization, which is no Bearer"),
            }
        }
    }

    fn left_out(&mut self, what: &str) {
        self.warnings.push(format!("left out: {what}"));
    }
}

/// Splits a command line as the shell would that it was copied for.
fn words(text: &str) -> Result<Vec<String>, Error> {
    let of_cmd = text.contains("^\"") || text.contains("^\n") || text.contains("^\r\n");
    match of_cmd {
        true => split(&without_carets(text), true),
        false => split(text, false),
    }
}

/// Takes off what `cmd` takes off before the program splits its line.
fn without_carets(text: &str) -> String {
    let text = text.replace("^\r\n", " ").replace("^\n", " ");
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '^' => plain.extend(letters.next()),
            _ => plain.push(letter),
        }
    }
    plain
}

fn split(text: &str, windows: bool) -> Result<Vec<String>, Error> {
    let unclosed = || failed("the command", "a quote is not closed: it may be cut off");
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' if !windows => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or_else(unclosed)? {
                        '\'' => break,
                        letter => word.push(letter),
                    }
                }
            }
            '$' if !windows && letters.peek() == Some(&'\'') => {
                letters.next();
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or_else(unclosed)? {
                        '\'' => break,
                        '\\' => word.push(escaped(&mut letters).ok_or_else(unclosed)?),
                        letter => word.push(letter),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or_else(unclosed)? {
                        '"' => break,
                        '\\' => match letters.next().ok_or_else(unclosed)? {
                            letter @ ('"' | '\\' | '$' | '`') => word.push(letter),
                            '\n' => {}
                            letter => word.extend(['\\', letter]),
                        },
                        letter => word.push(letter),
                    }
                }
            }
            '\\' if !windows => match letters.next() {
                Some('\n') => {}
                Some('\r') if letters.peek() == Some(&'\n') => drop(letters.next()),
                letter => word.get_or_insert_default().extend(letter),
            },
            letter if letter.is_whitespace() => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Reads what follows a backslash in `$'…'`.
fn escaped(letters: &mut Peekable<Chars<'_>>) -> Option<char> {
    let (most, radix) = match letters.peek()? {
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        '0'..='7' => (3, 8),
        _ => {
            return Some(match letters.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                letter => letter,
            });
        }
    };
    if radix == 16 {
        letters.next();
    }
    let mut digits = String::new();
    while digits.len() < most
        && let Some(digit) = letters.next_if(|letter| letter.is_digit(radix))
    {
        digits.push(digit);
    }
    char::from_u32(u32::from_str_radix(&digits, radix).ok()?)
}
