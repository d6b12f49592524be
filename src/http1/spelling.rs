//! Field names as their sender wrote them. Names mean the same in any case (RFC 9110 §5.1), but there are programs that
//! look for one spelling, and a proxy has no reason to change it.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

/// How a head was written: its bytes, in which the values of its fields lie. Without any: as the names are known here.
#[derive(Clone, Debug)]
pub struct Spelling {
    head: Bytes,
    /// A response's status, and where its reason stands.
    reason: Option<(StatusCode, (u32, u32))>,
}

/// Of a head that nobody wrote: one of our own, or of HTTP/2.
pub static PLAIN: Spelling = Spelling {
    head: Bytes::new(),
    reason: None,
};

// === impl Spelling ===

impl Default for Spelling {
    fn default() -> Self {
        PLAIN.clone()
    }
}

impl Spelling {
    pub(super) fn of(head: Bytes) -> Self {
        Self { head, reason: None }
    }

    pub(super) fn with_reason(self, status: StatusCode, place: (u32, u32)) -> Self {
        let reason = Some((status, place));
        Self { reason, ..self }
    }

    /// Returns the reason that came with this status; the usual one if none did.
    pub(super) fn reason(&self, status: StatusCode) -> &[u8] {
        match &self.reason {
            Some((own, (start, end))) if *own == status => {
                &self.head[*start as usize..*end as usize]
            }
            _ => status.canonical_reason().unwrap_or("").as_bytes(),
        }
    }

    /// Writes a field line: as it came, if its value did.
    pub(super) fn write(&self, name: &HeaderName, value: &HeaderValue, out: &mut Vec<u8>) {
        let known = name.as_str().as_bytes();
        if let Some(line) = self.line(known, value) {
            out.extend_from_slice(line);
        } else {
            let (spelled, space) = self.find(known).unwrap_or((known, b" "));
            out.extend_from_slice(spelled);
            out.push(b':');
            // Behind the colon of an empty value stands what stood there.
            out.extend_from_slice(if value.is_empty() { space } else { b" " });
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// A value that came with the head lies in it: its name stands before it.
    fn line(&self, name: &[u8], value: &HeaderValue) -> Option<&[u8]> {
        let at = (value.as_bytes().as_ptr() as usize).wrapping_sub(self.head.as_ptr() as usize);
        let before = self.head.get(..at)?.trim_ascii_end().strip_suffix(b":")?;
        let start = before.len().checked_sub(name.len())?;
        let line = self.head.get(start..at + value.len())?;
        before[start..].eq_ignore_ascii_case(name).then_some(line)
    }

    /// A value that took the place of another has the name of the one that came; with it, what stands behind the colon.
    fn find(&self, name: &[u8]) -> Option<(&[u8], &[u8])> {
        let lines = self.head.split(|b| *b == b'\n').skip(1);
        let mut names = lines.filter_map(|line| {
            let (spelled, rest) = line.split_at_checked(name.len())?;
            let rest = rest.strip_prefix(b":")?;
            let space = rest.iter().take_while(|b| matches!(b, b' ' | b'\t'));
            Some((spelled, &rest[..space.count()]))
        });
        names.find(|(spelled, _)| spelled.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn names_are_written_as_they_came() {
        let head = Bytes::from_static(
            b"GET / HTTP/1.1\r\nHOST: example\r\nx-One:first\r\nX-ONE:  second\r\nAuthoriZation: old\r\nEmpTy:\r\n\r\n",
        );
        let value = |text: &str| {
            let at = head.windows(text.len()).position(|w| w == text.as_bytes());
            let at = at.unwrap();
            HeaderValue::from_maybe_shared(head.slice(at..at + text.len())).unwrap()
        };
        let mut headers = HeaderMap::new();
        headers.append("host", value("example"));
        headers.append("x-one", value("first"));
        headers.append("x-one", value("second"));
        headers.append("authorization", HeaderValue::from_static("new"));
        headers.append("empty", HeaderValue::from_static(""));
        headers.append("added", HeaderValue::from_static("3"));
        let mut out = Vec::new();
        let spelling = Spelling::of(head.clone());
        headers
            .iter()
            .for_each(|(name, value)| spelling.write(name, value, &mut out));
        let lines = "HOST: example\r\nx-One:first\r\nX-ONE:  second\r\nAuthoriZation: new\r\nEmpTy:\r\nadded: 3\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), lines);
    }
}
