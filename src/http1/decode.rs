//! A body on its way in (RFC 9112 §6, §7.1): its frames are slices of what was read.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::Status;

use super::{Error, head::Length};

/// Where a body stands.
#[derive(Debug)]
pub(super) struct Decoder(State);

#[derive(Debug)]
enum State {
    /// So many bytes are still to come.
    Exact(u64),
    UntilClose,
    /// The line with the size of a chunk is next.
    Size,
    /// The rest of a chunk.
    Chunk(u64),
    /// The end of the line behind a chunk.
    ChunkEnd,
    Trailers,
    End,
}

/// What is in the bytes that were read.
#[derive(Debug)]
pub(super) enum Decoded {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// More has to be read first.
    Nothing,
}

/// Bytes of the line before a chunk, its extensions included.
const SIZE_LINE: usize = 4096;

/// Bytes of all trailers.
const TRAILERS: usize = 16 * 1024;

/// Fields of the trailers.
const FIELDS: usize = 64;

// === impl Decoder ===

impl Decoder {
    pub(super) fn new(length: Length) -> Self {
        Self(match length {
            Length::Exact(0) => State::End,
            Length::Exact(bytes) => State::Exact(bytes),
            Length::Chunked => State::Size,
            Length::UntilClose => State::UntilClose,
        })
    }

    pub(super) fn is_end(&self) -> bool {
        matches!(self.0, State::End)
    }

    /// Returns how many bytes are still to come, where that is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        match self.0 {
            State::Exact(bytes) => Some(bytes),
            State::End => Some(0),
            _ => None,
        }
    }

    /// Takes what comes next off the front of `inbox`; `closed`: nothing more will be read.
    pub(super) fn decode(&mut self, inbox: &mut BytesMut, closed: bool) -> Result<Decoded, Error> {
        loop {
            match &mut self.0 {
                State::End => return Ok(Decoded::End),
                State::UntilClose if inbox.is_empty() && closed => self.0 = State::End,
                State::Exact(_) | State::Chunk(_) | State::UntilClose if inbox.is_empty() => break,
                State::UntilClose => return Ok(Decoded::Data(inbox.split().freeze())),
                State::Exact(rest) => {
                    let data = take(inbox, rest);
                    if *rest == 0 {
                        self.0 = State::End;
                    }
                    return Ok(Decoded::Data(data));
                }
                State::Chunk(rest) => {
                    let data = take(inbox, rest);
                    if *rest == 0 {
                        self.0 = State::ChunkEnd;
                    }
                    return Ok(Decoded::Data(data));
                }
                State::ChunkEnd => match inbox.get(..2) {
                    Some(b"\r\n") => {
                        inbox.advance(2);
                        self.0 = State::Size;
                    }
                    Some(_) => return Err(Error::Body("a chunk is longer than it said")),
                    None if inbox.first().is_some_and(|b| *b != b'\r') => {
                        return Err(Error::Body("a chunk is longer than it said"));
                    }
                    None => break,
                },
                State::Size => match size(inbox)? {
                    Some((0, line)) => {
                        inbox.advance(line);
                        self.0 = State::Trailers;
                    }
                    Some((bytes, line)) => {
                        inbox.advance(line);
                        self.0 = State::Chunk(bytes);
                    }
                    None => break,
                },
                State::Trailers => match trailers(inbox)? {
                    Some((fields, bytes)) => {
                        inbox.advance(bytes);
                        self.0 = State::End;
                        if !fields.is_empty() {
                            return Ok(Decoded::Trailers(fields));
                        }
                    }
                    None => break,
                },
            }
        }
        if closed {
            return Err(Error::Incomplete);
        }
        Ok(Decoded::Nothing)
    }
}

/// Takes no more than `rest` bytes.
fn take(inbox: &mut BytesMut, rest: &mut u64) -> Bytes {
    let bytes = usize::try_from(*rest).map_or(inbox.len(), |rest| rest.min(inbox.len()));
    *rest -= bytes as u64;
    inbox.split_to(bytes).freeze()
}

/// Reads the line before a chunk: its size, and the bytes of the line. Extensions are passed over (RFC 9112 §7.1.1).
fn size(inbox: &[u8]) -> Result<Option<(u64, usize)>, Error> {
    const WRONG: Error = Error::Body("a chunk's size is not valid");
    let Some(end) = inbox.iter().take(SIZE_LINE).position(|b| *b == b'\n') else {
        if inbox.len() >= SIZE_LINE {
            return Err(Error::Body("the line before a chunk is too long"));
        }
        // What is wrong is told before its end has come.
        let digit = |b: &u8| b.is_ascii_hexdigit() || *b == b'\r';
        return match inbox.first().is_none_or(digit) {
            true => Ok(None),
            false => Err(WRONG),
        };
    };
    let line = inbox[..end].strip_suffix(b"\r").ok_or(WRONG)?;
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(digits);
    let space = rest.iter().take_while(|b| matches!(b, b' ' | b'\t'));
    let rest = &rest[space.count()..];
    if !(rest.is_empty() || rest.starts_with(b";")) || rest.contains(&b'\r') {
        return Err(WRONG);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| WRONG)?;
    // `from_str_radix` takes a sign; there is none among digits.
    let size = u64::from_str_radix(digits, 16).map_err(|_| WRONG)?;
    if size >= u64::MAX - 1 {
        return Err(WRONG);
    }
    Ok(Some((size, end + 1)))
}

/// Reads the fields behind the last chunk, and the empty line that ends them.
fn trailers(inbox: &[u8]) -> Result<Option<(HeaderMap, usize)>, Error> {
    const WRONG: Error = Error::Body("the trailers are not valid");
    match inbox {
        [b'\r', b'\n', ..] => return Ok(Some((HeaderMap::new(), 2))),
        [b'\n', ..] => return Err(WRONG),
        _ => {}
    }
    let mut slots = [httparse::EMPTY_HEADER; FIELDS];
    match httparse::parse_headers(inbox, &mut slots) {
        Ok(Status::Complete((bytes, fields))) if bytes <= TRAILERS => {
            let mut trailers = HeaderMap::with_capacity(fields.len());
            for field in fields {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| WRONG)?;
                let value = HeaderValue::from_bytes(field.value).map_err(|_| WRONG)?;
                trailers.append(name, value);
            }
            Ok(Some((trailers, bytes)))
        }
        Ok(Status::Partial) if inbox.len() < TRAILERS => Ok(None),
        _ => Err(WRONG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of a body, read in pieces; `Err`: what is wrong with it.
    fn read(length: Length, bytes: &[u8], piece: usize) -> Result<(Vec<u8>, usize), String> {
        let (mut decoder, mut inbox, mut body) =
            (Decoder::new(length), BytesMut::new(), Vec::new());
        let (mut pieces, mut closed, mut fields) = (bytes.chunks(piece), false, 0);
        loop {
            match decoder
                .decode(&mut inbox, closed)
                .map_err(|e| e.to_string())?
            {
                Decoded::Data(data) => body.extend_from_slice(&data),
                Decoded::Trailers(trailers) => fields += trailers.len(),
                Decoded::End => return Ok((body, fields)),
                Decoded::Nothing => match pieces.next() {
                    Some(piece) => inbox.extend_from_slice(piece),
                    None => closed = true,
                },
            }
        }
    }

    #[test]
    fn bodies() {
        use Length::{Chunked, Exact, UntilClose};
        let long = format!("1{}\r\nx\r\n0\r\n\r\n", " ".repeat(5000));
        let cases: [(Length, &str, Option<(&str, usize)>); 23] = [
            (Exact(0), "", Some(("", 0))),
            (Exact(3), "abc", Some(("abc", 0))),
            (Exact(3), "abcdef", Some(("abc", 0))),
            (Exact(3), "ab", None),
            (UntilClose, "", Some(("", 0))),
            (UntilClose, "abc", Some(("abc", 0))),
            (Chunked, "3\r\nabc\r\n0\r\n\r\n", Some(("abc", 0))),
            (
                Chunked,
                "003\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
                Some(("abc0123456789", 0)),
            ),
            (Chunked, "3;a=b;c\r\nabc\r\n0;x\r\n\r\n", Some(("abc", 0))),
            (
                Chunked,
                "3 \t\r\nabc\r\n0\r\na: 1\r\nb: 2\r\n\r\n",
                Some(("abc", 2)),
            ),
            (Chunked, "3\r\nabc\r\n0\r\n", None),
            (Chunked, "3\r\nabcd\r\n0\r\n\r\n", None),
            (Chunked, "3\nabc\n0\n\n", None),
            (Chunked, "3\r\nab", None),
            (Chunked, "0x3\r\nabc\r\n0\r\n\r\n", None),
            (Chunked, "-3\r\nabc\r\n0\r\n\r\n", None),
            (Chunked, "+3\r\nabc\r\n0\r\n\r\n", None),
            (Chunked, "\r\nabc\r\n0\r\n\r\n", None),
            (Chunked, "3 x\r\nabc\r\n0\r\n\r\n", None),
            (Chunked, "3\r\r;x\r\nabc\r\n0\r\n\r\n", None),
            (Chunked, "10000000000000000\r\nabc", None),
            (Chunked, "3\r\nabc\r\n0\r\n bad\r\n\r\n", None),
            (Chunked, &long, None),
        ];
        for (length, bytes, expected) in cases {
            for piece in [1, 2, 3, 1000] {
                let read = read(length, bytes.as_bytes(), piece);
                let expected = expected.map(|(body, fields)| (body.as_bytes().to_vec(), fields));
                assert_eq!(
                    read.as_ref().ok(),
                    expected.as_ref(),
                    "{bytes:?} by {piece}: {read:?}"
                );
            }
        }
    }
}
