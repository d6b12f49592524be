//! What the frames of an HTTP/2 peer cost (RFC 9113 §10.5).
//!
//! The library bounds most floods itself: resets of what was not taken up, CONTINUATION, streams beyond the limit; small
//! DATA the inbox. The others it answers for as long as they come: PING, SETTINGS, WINDOW_UPDATE, PRIORITY, frames of no
//! known kind, and requests that are taken back a moment later. Here each such frame is paid from an account, which
//! requests, answers and time fill again; a connection that has spent all ends.
//!
//! DATA that carries nothing, not even padding, and ends nothing is paid likewise and goes no further: the library ends a
//! connection after a hundred of them, however long it lives.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    heard::Heard,
    inbox::{Inbox, SMALL},
};

/// What an account holds at most, and in the beginning.
const MOST: u32 = 4096;

/// What time brings in a second.
const BY_TIME: u32 = 100;

/// What a request brings: the updates and priorities that go with it.
const BY_REQUEST: u32 = 2;

/// What the end of an answer brings: its head and its trailers.
const BY_ANSWER: u32 = 2;

/// The bytes of an answer that bring one: more than what a PING, a SETTINGS or a reset makes us send.
const BY_BYTES: usize = 32;

/// What taking a request back costs: it has been sent to the upstream in most cases.
const RESET: u32 = 4;

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n` (RFC 9113 §3.4).
const PREFACE: usize = 24;

const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// Where there is less room, as much is read by itself: more than a head, of which a part may be there already.
const LEAST: usize = 16;

/// An HTTP/2 connection that ends when its peer's frames are only a burden.
#[derive(Debug)]
pub struct Calm<S> {
    io: S,
    /// What comes are answers, and not requests: here it is counted.
    answers: Option<Arc<Heard>>,
    inbox: Inbox,
    /// Bytes of the preface or of a payload that are to come.
    skip: usize,
    /// What is there of a head: nothing of it goes on before all is there.
    head: [u8; HEAD],
    have: usize,
    /// Only CONTINUATION may be next (§6.10).
    in_block: bool,
    /// What was read and did not fit.
    over: Vec<u8>,
    account: Account,
}

#[derive(Debug)]
struct Account {
    holds: u32,
    /// Bytes written that have not brought anything yet.
    written: usize,
    since: Instant,
}

// === impl Calm ===

impl<S> Calm<S> {
    /// The connection of a client, which begins with the preface.
    pub fn of_client(io: S, inbox: Inbox) -> Self {
        Self::new(io, None, inbox, PREFACE)
    }

    /// The connection to a server.
    pub(super) fn of_server(io: S, inbox: Inbox, heard: Arc<Heard>) -> Self {
        Self::new(io, Some(heard), inbox, 0)
    }

    fn new(io: S, answers: Option<Arc<Heard>>, inbox: Inbox, skip: usize) -> Self {
        Self {
            io,
            answers,
            inbox,
            skip,
            head: [0; HEAD],
            have: 0,
            in_block: false,
            over: Vec::new(),
            account: Account {
                holds: MOST,
                written: 0,
                since: Instant::now(),
            },
        }
    }

    /// Looks at the frames in what came, and takes out those that say nothing. Returns how much is left to hand on; `None`:
    /// the account is empty.
    fn look(&mut self, bytes: &mut [u8]) -> Option<usize> {
        let (mut at, mut kept) = (0, 0);
        loop {
            let skipped = self.skip.min(bytes.len() - at);
            self.skip -= skipped;
            keep(bytes, &mut at, &mut kept, skipped);
            let rest = &bytes[at..];
            let Some(head) = rest.first_chunk::<HEAD>() else {
                self.have = rest.len();
                self.head[..self.have].copy_from_slice(rest);
                return Some(kept);
            };
            let head = *head;
            if self.pass(head)? {
                keep(bytes, &mut at, &mut kept, HEAD);
            } else {
                at += HEAD;
            }
        }
    }

    /// Takes the head of a frame; tells whether it goes on, with what it carries. `None`: the account is empty.
    fn pass(&mut self, head: [u8; HEAD]) -> Option<bool> {
        let [a, b, c, kind, flags, stream @ ..] = head;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        let ends = flags & END_STREAM != 0;
        // Where DATA may not be, it is the library's to say so.
        let says_nothing = kind == DATA
            && self.skip == 0
            && !ends
            && flags & PADDED == 0
            // Its first bit says nothing (§4.1).
            && u32::from_be_bytes(stream) << 1 != 0
            && !self.in_block;
        if matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
            self.in_block = flags & END_HEADERS == 0;
        }
        if self.answers.is_some() && matches!(kind, HEADERS | DATA) && ends {
            self.account.add(BY_ANSWER);
        }
        if kind == DATA && !ends && !says_nothing && (self.skip < SMALL || flags & PADDED != 0) {
            self.inbox.note();
        }
        let paid = match kind {
            // Heads without an end are informational, or the answers of streams that go on.
            HEADERS if self.answers.is_some() => self.account.pay(1),
            HEADERS => {
                self.account.add(BY_REQUEST);
                true
            }
            // What carries something, and what the library bounds.
            DATA if self.skip > 0 => true,
            CONTINUATION => true,
            RST_STREAM => self.account.pay(RESET),
            _ => self.account.pay(1),
        };
        paid.then_some(!says_nothing)
    }
}

impl<S: AsyncRead + Unpin> Calm<S> {
    /// Reads until there is something to hand on; there is room for more than a head.
    fn poll_frames(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        loop {
            out.put_slice(&self.head[..self.have]);
            let had = out.filled().len();
            let polled = Pin::new(&mut self.io).poll_read(cx, out);
            if !matches!(polled, Poll::Ready(Ok(()))) {
                out.set_filled(before);
                return polled;
            }
            if let Some(heard) = &self.answers {
                heard.read();
            }
            if out.filled().len() == had {
                // The end, and what is there of a head before it.
                self.have = 0;
                return Poll::Ready(Ok(()));
            }
            let Some(kept) = self.look(&mut out.filled_mut()[before..]) else {
                let why = "the peer sends frames that serve no request";
                return Poll::Ready(Err(io::Error::other(why)));
            };
            out.set_filled(before + kept);
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Moves so many bytes to behind those that are kept.
fn keep(bytes: &mut [u8], at: &mut usize, kept: &mut usize, count: usize) {
    if at != kept {
        bytes.copy_within(*at..*at + count, *kept);
    }
    (*at, *kept) = (*at + count, *kept + count);
}

// === impl Account ===

impl Account {
    fn add(&mut self, by: u32) {
        self.holds = self.holds.saturating_add(by).min(MOST);
    }

    /// Notes bytes of answers.
    fn write(&mut self, bytes: usize) {
        self.written += bytes;
        let brings = u32::try_from(self.written / BY_BYTES).unwrap_or(MOST);
        self.written %= BY_BYTES;
        self.add(brings);
    }

    fn pay(&mut self, price: u32) -> bool {
        if self.holds < price {
            // The clock is looked at only now.
            let tenths = self.since.elapsed().as_millis() / 100;
            let tenths = u32::try_from(tenths).unwrap_or(u32::MAX);
            self.since += Duration::from_millis(100) * tenths;
            self.add(tenths.saturating_mul(BY_TIME / 10));
        }
        let left = self.holds.checked_sub(price);
        self.holds = left.unwrap_or(0);
        left.is_some()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Calm<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.inbox.is_full() {
            // Read on when they are joined, which is what whoever drives the connection does next.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let this = &mut *self;
        if this.over.is_empty() && out.remaining() >= LEAST {
            return this.poll_frames(cx, out);
        }
        if this.over.is_empty() {
            let mut room = [0; LEAST];
            let mut read = ReadBuf::new(&mut room);
            ready!(this.poll_frames(cx, &mut read))?;
            this.over.extend_from_slice(read.filled());
        }
        let n = this.over.len().min(out.remaining());
        out.put_slice(&this.over[..n]);
        this.over.drain(..n);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Calm<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.account.write(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bytes))?;
        self.account.write(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
