//! Reading: into a buffer that exists only while there is something in it.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Frame;
use tokio::io::{AsyncRead, ReadBuf};

use super::{
    Bounds, Error, Refused,
    decode::{Decoded, Decoder},
    head, off_page,
};

/// What was read and is not used yet.
#[derive(Debug)]
pub(super) struct Inbox {
    pub bytes: BytesMut,
    /// Whether the other side has sent its last byte.
    pub closed: bool,
    /// How much is read at once of a body.
    room: usize,
    /// How much of a head has been looked at.
    seen: usize,
    /// Bytes of empty lines before the next head.
    skipped: usize,
}

/// The least that is read at once.
const LEAST: usize = 8 * 1024;

/// The most that is read of a body at once.
const MOST: usize = 64 * 1024;

// === impl Inbox ===

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            bytes: BytesMut::new(),
            closed: false,
            room: LEAST,
            seen: 0,
            skipped: 0,
        }
    }

    /// Reads what is there, as much as a head has; is ready with nothing new when the other side has closed.
    pub(super) fn poll_some<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // Most of what comes is small: it is copied into as much room as it needs.
        let mut room = [const { MaybeUninit::uninit() }; LEAST];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(io).poll_read(cx, &mut read))?;
        self.closed = read.filled().is_empty();
        self.bytes.extend_from_slice(read.filled());
        Poll::Ready(Ok(()))
    }

    /// Reads what comes next of a body.
    pub(super) fn poll_frame<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        body: &mut Decoder,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            let decoded = body.decode(&mut self.bytes, self.closed)?;
            self.rest();
            match decoded {
                Decoded::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Decoded::Trailers(fields) => return Poll::Ready(Some(Ok(Frame::trailers(fields)))),
                Decoded::End => return Poll::Ready(None),
                Decoded::Nothing => {}
            }
            ready!(self.poll_body(io, cx, body.remaining()))?;
        }
    }

    /// Reads what is there of a body of which `remaining` bytes are still to come.
    fn poll_body<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        remaining: Option<u64>,
    ) -> Poll<io::Result<()>> {
        let remaining = remaining.and_then(|bytes| usize::try_from(bytes).ok());
        let room = self.room.min(remaining.unwrap_or(usize::MAX)).max(1);
        if room > LEAST && self.bytes.capacity() == 0 {
            self.bytes = off_page(room);
        }
        self.bytes.reserve(room);
        match tokio_util::io::poll_read_buf(Pin::new(io), cx, &mut self.bytes) {
            Poll::Ready(read) => {
                let read = read?;
                self.closed = read == 0;
                self.room = match read {
                    n if n >= self.room => (self.room * 2).min(MOST),
                    n if n < self.room / 4 => (self.room / 2).max(LEAST),
                    _ => self.room,
                };
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                self.rest();
                Poll::Pending
            }
        }
    }

    /// Tells whether there may be a whole head by now: what has been looked at before is not parsed again for each
    /// byte of a slow one.
    pub(super) fn may_hold_head(&mut self) -> bool {
        let may = self.seen == 0 || head::may_end(&self.bytes, self.seen);
        self.seen = self.bytes.len();
        may
    }

    /// Passes over empty lines before a head, as many as a head may have bytes.
    pub(super) fn skip_empty_lines(&mut self, bounds: Bounds) -> Result<(), Error> {
        let bytes = head::empty_lines(&self.bytes);
        if bytes > 0 {
            self.bytes.advance(bytes);
            self.seen = 0;
            self.skipped += bytes;
            self.rest();
        }
        match self.skipped > bounds.bytes {
            true => Err(Refused::TooLarge.into()),
            false => Ok(()),
        }
    }

    /// Notes that a head has been taken.
    pub(super) fn took_head(&mut self) {
        (self.seen, self.skipped) = (0, 0);
        self.rest();
    }

    /// Gives the buffer back if nothing is in it.
    pub(super) fn rest(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::{super::head::Length, *};

    #[test]
    fn what_is_read_of_a_body_at_once_grows_to_whole_records() {
        let body: Vec<u8> = (0..400_000u32).map(|at| (at % 251) as u8).collect();
        let (mut io, mut inbox) = (&body[..], Inbox::new());
        let mut decoder = Decoder::new(Length::Exact(body.len() as u64));
        let mut cx = Context::from_waker(Waker::noop());
        let (mut got, mut sizes) = (Vec::new(), Vec::new());
        while let Poll::Ready(Some(frame)) = inbox.poll_frame(&mut io, &mut cx, &mut decoder) {
            let data = frame.unwrap().into_data().unwrap();
            sizes.push(data.len());
            got.extend_from_slice(&data);
        }
        assert!(got == body);
        let rest = sizes.pop();
        assert_eq!(sizes[..3], [LEAST, 2 * LEAST, 4 * LEAST]);
        assert_eq!(sizes[3..], [MOST; 5]);
        assert_eq!(rest, Some(400_000 - 7 * LEAST - 5 * MOST));
        assert_eq!(inbox.bytes.capacity(), 0);
    }
}
