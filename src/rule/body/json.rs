//! Values of a JSON text (RFC 8259) where they stand: found by pointer, so that one can be exchanged and all else stays
//! byte for byte. Nothing is parsed into a tree and written again: that would lose escapes, spaces, the order and
//! the repetition of keys, and the digits of numbers.

#[cfg(test)]
mod tests;

use std::ops::Range;

/// As deep as serde_json reads.
const DEEPEST: usize = 128;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The bytes are no JSON text in UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not JSON")]
pub struct NotJson;

/// Where the values of a pointer stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The values; several if a key is repeated, which parsers read one or the other way.
    pub values: Vec<Range<usize>>,
    /// Where a member that is not there would be put in: the ends of the objects that would hold it.
    pub(super) ends: Vec<End>,
}

/// The end of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Behind its last member; behind its brace if it has none.
    pub(super) at: usize,
    pub(super) empty: bool,
}

/// Finds all values that a JSON pointer (RFC 6901) names; the whole text must be JSON.
pub fn find(body: &[u8], pointer: &str) -> Result<Found, NotJson> {
    let text = std::str::from_utf8(body).map_err(|_| NotJson)?;
    let tokens: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
        .collect();
    let mut scan = Scan {
        bytes: text.as_bytes(),
        at: if body.starts_with(BOM) { BOM.len() } else { 0 },
        found: Found::default(),
    };
    scan.value(Some(&tokens), DEEPEST)?;
    scan.space();
    if scan.at == body.len() {
        Ok(scan.found)
    } else {
        Err(NotJson)
    }
}

/// Returns the text of a value, if it is a string that has one (a lone surrogate has none).
pub fn text(value: &[u8]) -> Option<String> {
    value
        .starts_with(b"\"")
        .then(|| serde_json::from_slice(value).ok())
        .flatten()
}

/// Writes a text as a JSON string, in ASCII: so it may stand in any field too.
pub fn quote(text: &str) -> String {
    use std::fmt::Write as _;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\')) => quoted.extend(['\\', char::from(byte)]),
            Ok(byte @ b' '..=b'~') => quoted.push(char::from(byte)),
            Ok(_) | Err(_) => {
                write!(quoted, "\\u{unit:04x}").expect("a string can be written");
            }
        }
    }
    quoted.push('"');
    quoted
}

/// The last token of a pointer: the name of the member; `None` for the whole document.
pub(super) fn member(pointer: &str) -> Option<String> {
    let (_, last) = pointer.rsplit_once('/')?;
    Some(last.replace("~1", "/").replace("~0", "~"))
}

struct Scan<'b> {
    bytes: &'b [u8],
    at: usize,
    found: Found,
}

// === impl Scan ===

impl Scan<'_> {
    /// Reads a value; `path` is what of the pointer is left, `None` off its way.
    fn value(&mut self, path: Option<&[String]>, depth: usize) -> Result<(), NotJson> {
        self.space();
        let begin = self.at;
        match self.peek() {
            Some(b'{') => self.object(path, depth.checked_sub(1).ok_or(NotJson)?)?,
            Some(b'[') => self.array(path, depth.checked_sub(1).ok_or(NotJson)?)?,
            Some(b'"') => self.string()?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            _ => self.number()?,
        }
        if path.is_some_and(<[String]>::is_empty) {
            self.found.values.push(begin..self.at);
        }
        Ok(())
    }

    fn object(&mut self, path: Option<&[String]>, depth: usize) -> Result<(), NotJson> {
        self.at += 1;
        let mut end = End {
            at: self.at,
            empty: true,
        };
        self.space();
        while self.peek() != Some(b'}') {
            if !end.empty {
                self.expect(b',')?;
                self.space();
            }
            let key = self.at;
            self.string()?;
            let key = key..self.at;
            self.space();
            self.expect(b':')?;
            let inner = path.and_then(<[String]>::split_first);
            let inner = inner.filter(|(token, _)| self.is(&key, token));
            self.value(inner.map(|(_, rest)| rest), depth)?;
            end = End {
                at: self.at,
                empty: false,
            };
            self.space();
        }
        self.at += 1;
        if path.is_some_and(|path| path.len() == 1) {
            self.found.ends.push(end);
        }
        Ok(())
    }

    fn array(&mut self, path: Option<&[String]>, depth: usize) -> Result<(), NotJson> {
        self.at += 1;
        self.space();
        let mut index = 0_usize;
        while self.peek() != Some(b']') {
            if index > 0 {
                self.expect(b',')?;
            }
            let inner = path.and_then(<[String]>::split_first);
            let inner = inner.filter(|(token, _)| **token == index.to_string());
            self.value(inner.map(|(_, rest)| rest), depth)?;
            self.space();
            index += 1;
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), NotJson> {
        self.expect(b'"')?;
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        for _ in 0..4 {
                            if !self.next()?.is_ascii_hexdigit() {
                                return Err(NotJson);
                            }
                        }
                    }
                    _ => return Err(NotJson),
                },
                0..=0x1f => return Err(NotJson),
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Result<(), NotJson> {
        self.skip(b'-');
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => while self.digit() {},
            _ => return Err(NotJson),
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _ = self.skip(b'+') || self.skip(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        if !self.digit() {
            return Err(NotJson);
        }
        while self.digit() {}
        Ok(())
    }

    fn digit(&mut self) -> bool {
        let is = self.peek().is_some_and(|b| b.is_ascii_digit());
        self.at += usize::from(is);
        is
    }

    fn word(&mut self, word: &[u8]) -> Result<(), NotJson> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(())
    }

    /// Compares a key with a pointer's token, escapes read.
    fn is(&self, key: &Range<usize>, token: &str) -> bool {
        let written = &self.bytes[key.clone()];
        let within = &written[1..written.len() - 1];
        if within.contains(&b'\\') {
            return text(written).as_deref() == Some(token);
        }
        within == token.as_bytes()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, NotJson> {
        let byte = self.peek().ok_or(NotJson)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.skip(byte) {
            Ok(())
        } else {
            Err(NotJson)
        }
    }
}
