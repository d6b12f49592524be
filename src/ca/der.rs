//! DER, as much as certificates need (X.690 §8, §10): a reader of nested values and a writer.
//!
//! Leaves are written here rather than by a library so that the issuer's name goes in byte for byte as the CA's
//! certificate has it: a name with two `DC` or `OU` parts does not survive a library's own model of names.

/// Tags that certificates use.
pub(super) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    /// `[0]`, constructed.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    /// `[3]`, constructed.
    pub(crate) const CONTEXT_3: u8 = 0xa3;
}

/// Reads one value after another from a sequence's content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

/// One value: its tag, its content, and both with the length as they stood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) whole: &'a [u8],
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns the next value, or `None` at the end and where the bytes are no DER.
    pub(super) fn next(&mut self) -> Option<Value<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        // Tags over 30 do not occur in certificates.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let count = usize::from(first & 0x7f);
            // Four bytes of length hold any certificate; indefinite lengths (0x80) are not DER.
            if !(1..=4).contains(&count) {
                return None;
            }
            let (bytes, rest) = rest.split_at_checked(count)?;
            let length = bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            (length, rest)
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - after.len()];
        self.0 = after;
        Some(Value {
            tag,
            content,
            whole,
        })
    }

    /// Returns the next value if it has this tag; nothing else is taken.
    pub(super) fn take(&mut self, tag: u8) -> Option<Value<'a>> {
        let mut ahead = *self;
        let value = ahead.next().filter(|value| value.tag == tag)?;
        *self = ahead;
        Some(value)
    }
}

/// Writes one value whose content is the concatenation of `parts`.
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = (length as u32).to_be_bytes();
        let skip = bytes.iter().take_while(|b| **b == 0).count();
        out.push(0x80 | (bytes.len() - skip) as u8);
        out.extend_from_slice(&bytes[skip..]);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; length];
            let bytes = value(tag::OCTET_STRING, &[&content]);
            let mut reader = Reader::new(&bytes);
            assert!(reader.take(tag::SEQUENCE).is_none());
            let read = reader.take(tag::OCTET_STRING).unwrap();
            assert_eq!((read.content, read.whole), (&content[..], &bytes[..]));
            assert!(reader.next().is_none());
        }
    }

    #[test]
    fn what_is_no_der_ends_the_reading() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x05, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
            &[0x30, 0x82, 1],
            &[0x1f, 0x81, 0],
        ] {
            assert!(Reader::new(bytes).next().is_none(), "{bytes:?}");
        }
    }
}
