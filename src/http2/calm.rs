//! What the frames of an HTTP/2 peer cost (RFC 9113 §10.5).
//!
//! The library bounds most floods itself: resets of what was not taken up, CONTINUATION, empty DATA, streams beyond the
//! limit; small DATA the inbox. The others it answers for as long as they come: PING, SETTINGS, WINDOW_UPDATE, PRIORITY,
//! frames of no known kind, and requests that are taken back a moment later. Here each such frame is paid from an
//! account, which requests, answers and time fill again; a connection that has spent all ends.

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
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const PADDED: u8 = 8;

/// An HTTP/2 connection that ends when its peer's frames are only a burden.
#[derive(Debug)]
pub struct Calm<S> {
    io: S,
    /// What comes are answers, and not requests: here it is counted.
    answers: Option<Arc<Heard>>,
    inbox: Inbox,
    /// Bytes of the preface or of a payload that are to come.
    skip: usize,
    head: [u8; HEAD],
    /// How much of the head is there.
    have: usize,
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
            account: Account {
                holds: MOST,
                written: 0,
                since: Instant::now(),
            },
        }
    }

    /// Looks at the frames in what came; `false`: the account is empty.
    fn look(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            let skipped = self.skip.min(bytes.len());
            (self.skip, bytes) = (self.skip - skipped, &bytes[skipped..]);
            if bytes.is_empty() {
                return true;
            }
            let taken = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            (self.have, bytes) = (self.have + taken, &bytes[taken..]);
            if self.have < HEAD {
                return true;
            }
            let [a, b, c, kind, flags, ..] = self.head;
            self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
            self.have = 0;
            if self.answers.is_some() && matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                self.account.add(BY_ANSWER);
            }
            if kind == DATA && flags & END_STREAM == 0 && (self.skip < SMALL || flags & PADDED != 0)
            {
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
            if !paid {
                return false;
            }
        }
    }
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
        let before = out.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, out))?;
        if let Some(heard) = &self.answers {
            heard.read();
        }
        if self.look(&out.filled()[before..]) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(io::Error::other(
                "the peer sends frames that serve no request",
            )))
        }
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
mod tests {
    use super::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0; HEAD + length];
        frame[1..3].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        frame[3] = kind;
        frame
    }

    /// How many turns of these frames a connection takes, when each makes us write so many bytes.
    fn turns(kinds: &[(u8, usize)], writes: usize) -> usize {
        let mut calm = Calm::of_client((), Inbox::default());
        assert!(calm.look(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        let turn: Vec<u8> = kinds
            .iter()
            .flat_map(|(kind, length)| frame(*kind, *length))
            .collect();
        let turn = |calm: &mut Calm<()>| {
            calm.account.write(writes);
            // However it is cut up.
            turn.chunks(7).all(|bytes| calm.look(bytes))
        };
        (0..20_000).take_while(|_| turn(&mut calm)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn floods_end_and_work_goes_on() {
        let endless = 20_000;
        for (name, kinds, writes, least, most) in [
            ("requests", &[(HEADERS, 30)][..], 0, endless, endless),
            ("an upload", &[(DATA, 16000)], 0, endless, endless),
            (
                "a download",
                &[(WINDOW_UPDATE, 4), (WINDOW_UPDATE, 4)],
                4096,
                endless,
                endless,
            ),
            (
                "small messages",
                &[(PING, 8), (WINDOW_UPDATE, 4)],
                64,
                endless,
                endless,
            ),
            (
                "requests of which half are taken back",
                &[(HEADERS, 30), (HEADERS, 30), (RST_STREAM, 4)],
                40,
                endless,
                endless,
            ),
            ("pings", &[(PING, 8)], 17, 4096, 10_000),
            ("settings", &[(4, 0)], 9, 4096, 6_000),
            ("empty data", &[(DATA, 0)], 0, 4096, 4096),
            (
                "requests that are taken back",
                &[(HEADERS, 30), (RST_STREAM, 4)],
                0,
                2000,
                2100,
            ),
            ("frames of no known kind", &[(0xbe, 300)], 0, 4096, 4096),
        ] {
            let turns = turns(kinds, writes);
            assert!((least..=most).contains(&turns), "{name}: {turns}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_end_and_informational_ones_do_not() {
        let ended = |kind| {
            let mut frame = frame(kind, 9);
            frame[4] = END_STREAM;
            frame
        };
        let answer = [frame(HEADERS, 9), frame(DATA, 100), ended(DATA)].concat();
        let call = [frame(HEADERS, 9), frame(DATA, 100), ended(HEADERS)].concat();
        for (frames, most) in [
            (answer, 20_000),
            (call, 20_000),
            (ended(HEADERS), 20_000),
            (frame(HEADERS, 9), 4096),
        ] {
            let mut calm = Calm::of_server((), Inbox::default(), Arc::default());
            assert_eq!((0..20_000).take_while(|_| calm.look(&frames)).count(), most);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_fills_the_account() {
        let mut calm = Calm::of_client((), Inbox::default());
        calm.skip = 0;
        while calm.look(&frame(PING, 8)) {}
        tokio::time::sleep(Duration::from_secs(1)).await;
        let paid = (0..1000).take_while(|_| calm.look(&frame(PING, 8))).count();
        assert_eq!(paid, 100);
    }
}
