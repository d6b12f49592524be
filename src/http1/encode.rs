//! A message on its way out: its head, its body in frames, and the bytes that wait for the connection.

use std::{
    io::{self, IoSlice, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, header::TRAILER};
use http_body::Frame;
use tokio::io::AsyncWrite;

use super::{Error, head::Length};
use crate::message::trailers::may_trail;

/// What has to be written. Small pieces are gathered, a large one goes out behind them without a copy.
#[derive(Debug, Default)]
pub(super) struct Out {
    small: Vec<u8>,
    large: Bytes,
    /// What stands behind the large one.
    tail: &'static [u8],
    /// Bytes of `small` that are written.
    written: usize,
    /// Whether something was written that a stream with a buffer of its own, as TLS has one, may still hold.
    unflushed: bool,
}

/// How a body is framed, and how much of it is still to come.
#[derive(Debug)]
pub(super) struct Encoder {
    state: State,
    /// The trailers that the head names, in its letters; no others are passed on.
    trailers: Vec<Vec<u8>>,
}

#[derive(Debug)]
enum State {
    Exact(u64),
    Chunked,
    UntilClose,
    End,
}

/// A piece up to here is copied: one more slice to write costs as much.
const SMALL: usize = 4096;

/// So much is gathered before it is written.
const GATHERED: usize = 16 * 1024;

// === impl Out ===

impl Out {
    fn is_empty(&self) -> bool {
        self.small.is_empty() && self.large.is_empty() && self.tail.is_empty()
    }

    /// Tells whether all of it is on its way to the other side.
    pub(super) fn is_flushed(&self) -> bool {
        self.is_empty() && !self.unflushed
    }

    /// Tells whether more may be gathered before all of it is written.
    pub(super) fn has_room(&self) -> bool {
        self.large.is_empty() && self.tail.is_empty() && self.small.len() < GATHERED
    }

    /// Where heads and other small things are written to; only while there is room.
    pub(super) fn small(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.large.is_empty() && self.tail.is_empty());
        &mut self.small
    }

    fn push(&mut self, data: Bytes, tail: &'static [u8]) {
        if data.len() <= SMALL {
            self.small().extend_from_slice(&data);
            self.small().extend_from_slice(tail);
        } else {
            (self.large, self.tail) = (data, tail);
        }
    }

    /// Tells whether nothing of what was put in has been written.
    pub(super) fn is_untouched(&self) -> bool {
        self.written == 0 && !self.small.is_empty()
    }

    /// Forgets what is not written yet.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes until nothing is left, here or in the stream.
    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_write(io, cx))?;
        if self.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes until nothing is left here.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let small = &self.small[self.written..];
            let io = Pin::new(&mut *io);
            let written = if self.large.is_empty() && self.tail.is_empty() {
                io.poll_write(cx, small)
            } else {
                let all = [small, &self.large, self.tail].map(IoSlice::new);
                io.poll_write_vectored(cx, &all)
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
            self.unflushed = true;
        }
        // A connection that waits holds no buffer.
        self.small = Vec::new();
        self.large = Bytes::new();
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        let of_small = written.min(self.small.len() - self.written);
        self.written += of_small;
        if self.written == self.small.len() {
            self.small.clear();
            self.written = 0;
        }
        written -= of_small;
        let of_large = written.min(self.large.len());
        self.large.advance(of_large);
        self.tail = &self.tail[written - of_large..];
    }
}

// === impl Encoder ===

impl Encoder {
    /// For the body behind a head with these fields.
    pub(super) fn new(length: Length, headers: &HeaderMap) -> Self {
        let state = match length {
            Length::Exact(0) => State::End,
            Length::Exact(bytes) => State::Exact(bytes),
            Length::Chunked => State::Chunked,
            Length::UntilClose => State::UntilClose,
        };
        let trailers = match length {
            Length::Chunked => announced(headers),
            _ => Vec::new(),
        };
        Self { state, trailers }
    }

    /// Tells whether the body is complete.
    pub(super) fn is_end(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Frames what comes next of the body.
    pub(super) fn encode(&mut self, frame: Frame<Bytes>, out: &mut Out) -> Result<(), Error> {
        let data = match frame.into_data() {
            Ok(data) if data.is_empty() => return Ok(()),
            Ok(data) => data,
            Err(frame) => {
                if let (State::Chunked, Ok(trailers)) = (&self.state, frame.into_trailers()) {
                    self.last(&trailers, out);
                }
                return Ok(());
            }
        };
        match &mut self.state {
            State::Exact(rest) => {
                let rest = rest.checked_sub(data.len() as u64);
                let rest = rest.ok_or(Error::Body("the body is longer than its head says"))?;
                out.push(data, b"");
                self.state = match rest {
                    0 => State::End,
                    rest => State::Exact(rest),
                };
            }
            State::Chunked => {
                write!(out.small(), "{:x}\r\n", data.len()).expect("memory takes all");
                out.push(data, b"\r\n");
            }
            State::UntilClose => out.push(data, b""),
            // To HEAD and its like a body says nothing.
            State::End => {}
        }
        Ok(())
    }

    /// Notes the end of the body.
    pub(super) fn end(&mut self, out: &mut Out) -> Result<(), Error> {
        match self.state {
            State::Exact(_) => return Err(Error::Body("the body is shorter than its head says")),
            State::Chunked => self.last(&HeaderMap::new(), out),
            State::UntilClose | State::End => {}
        }
        self.state = State::End;
        Ok(())
    }
    /// Writes the last chunk and the trailers that were announced (RFC 9112 §7.1.2).
    fn last(&mut self, trailers: &HeaderMap, out: &mut Out) {
        let small = out.small();
        small.extend_from_slice(b"0\r\n");
        for (name, value) in trailers {
            let mut names = self.trailers.iter();
            let known = name.as_str().as_bytes();
            let Some(spelled) = names.find(|spelled| spelled.eq_ignore_ascii_case(known)) else {
                continue;
            };
            small.extend_from_slice(spelled);
            small.extend_from_slice(b": ");
            small.extend_from_slice(value.as_bytes());
            small.extend_from_slice(b"\r\n");
        }
        small.extend_from_slice(b"\r\n");
        self.state = State::End;
    }
}

/// Returns the trailers that a head announces, if they may stand there.
fn announced(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let lines = headers.get_all(TRAILER).into_iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|b| *b == b','));
    let names = names.map(<[u8]>::trim_ascii);
    let may = |name: &&[u8]| HeaderName::from_bytes(name).is_ok_and(|name| may_trail(&name));
    names.filter(may).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http::{HeaderValue, header::TRANSFER_ENCODING};
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    async fn written(length: Length, frames: Vec<Frame<Bytes>>) -> Result<Vec<u8>, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(TRAILER, HeaderValue::from_static("A, Transfer-Encoding"));
        // A pipe that takes little at once.
        let (mut near, mut far) = duplex(7);
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            got
        });
        let (mut encoder, mut out) = (Encoder::new(length, &headers), Out::default());
        for frame in frames {
            encoder.encode(frame, &mut out)?;
            // More is put in as soon as there is room, whatever is still on its way.
            poll_fn(|cx| match out.poll_write(&mut near, cx) {
                Poll::Pending if out.has_room() => Poll::Ready(Ok(())),
                polled => polled,
            })
            .await?;
        }
        if !encoder.is_end() {
            encoder.end(&mut out)?;
        }
        poll_fn(|cx| out.poll_write(&mut near, cx)).await?;
        assert!(encoder.is_end() && out.is_empty());
        drop(near);
        Ok(reader.await.unwrap())
    }

    #[tokio::test]
    async fn bodies_are_framed() {
        use Length::{Chunked, Exact, UntilClose};
        let data = |bytes: &[u8]| Frame::data(Bytes::copy_from_slice(bytes));
        let large = vec![b'x'; 10_000];
        let chunked = [
            b"3\r\nabc\r\n2710\r\n",
            &large[..],
            b"\r\n3\r\nabc\r\n0\r\n\r\n",
        ]
        .concat();
        let trailers = || {
            let mut fields = HeaderMap::new();
            fields.insert("a", HeaderValue::from_static("1"));
            fields.insert("b", HeaderValue::from_static("2"));
            fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            Frame::trailers(fields)
        };
        type Case = (Length, Vec<Frame<Bytes>>, Option<Vec<u8>>);
        let cases: [Case; 8] = [
            (Exact(0), vec![], Some(vec![])),
            (
                Exact(3),
                vec![data(b"a"), data(b"bc")],
                Some(b"abc".to_vec()),
            ),
            (Exact(3), vec![data(b"a")], None),
            (Exact(3), vec![data(b"abcd")], None),
            (Exact(10_000), vec![data(&large)], Some(large.clone())),
            (
                Chunked,
                vec![data(b"abc"), data(b""), data(&large), data(b"abc")],
                Some(chunked),
            ),
            (
                Chunked,
                vec![data(b"abc"), trailers()],
                Some(b"3\r\nabc\r\n0\r\nA: 1\r\n\r\n".to_vec()),
            ),
            (
                UntilClose,
                vec![data(b"abc"), trailers()],
                Some(b"abc".to_vec()),
            ),
        ];
        for (length, frames, expected) in cases {
            let name = format!("{length:?} {}", frames.len());
            assert_eq!(written(length, frames).await.ok(), expected, "{name}");
        }
    }
}
