//! Bytes from one socket to another that stay in the kernel (splice(2)): no copy in, no copy out.
//!
//! The two sockets need a pipe between them. One is taken when there is something to move and given back when nothing
//! is left, so that a tunnel that waits holds neither a pipe nor a buffer.

use std::{
    io::{self, ErrorKind},
    net::Shutdown,
    os::fd::OwnedFd,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream, task::coop::consume_budget};

/// The most that is moved at once.
const MOST: usize = 1 << 20;

/// How much a pipe holds, if the system grants it.
const PIPE: usize = 256 * 1024;

/// How much one holds through which much goes at once: who moves four times as much wakes up less often.
const LARGE: usize = 1 << 20;

/// The most of these there are: a user's pipes hold 64 MiB together (`pipe-user-pages-soft`).
const MOST_LARGE: usize = 16;

/// Pipes that are kept for the next one.
const KEPT: usize = 32;

/// Room for a copy, where no pipe is to be had.
const BUFFER: usize = 16 * 1024;

/// A pipe with nothing in it.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    large: Option<Turn>,
}

/// The right to a large pipe.
struct Turn;

static TURNS: AtomicUsize = AtomicUsize::new(MOST_LARGE);

static PIPES: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());

/// Moves bytes until `from` ends, and then ends `to`; notes in `moved` that there were some. Returns how many.
pub async fn forward(from: &TcpStream, to: &TcpStream, moved: &AtomicBool) -> io::Result<u64> {
    let mut total = 0;
    let mut pipe: Option<Pipe> = None;
    let mut much = false;
    loop {
        if pipe.is_none() {
            from.readable().await?;
            pipe = Pipe::take(much);
        }
        consume_budget().await;
        let got = match &pipe {
            Some(pipe) => match read(from, pipe) {
                Ok(got) => drain(pipe, to, got).await.map(|()| got),
                failed => failed,
            },
            None => copy(from, to).await,
        };
        match got {
            Ok(0) => {
                if let Some(pipe) = pipe {
                    pipe.keep();
                }
                // Who has left already needs no end.
                drop(SockRef::from(to).shutdown(Shutdown::Write));
                return Ok(total);
            }
            Ok(got) => {
                moved.store(true, Ordering::Relaxed);
                total += got as u64;
                // A piece that does not begin with a page takes a page more, so that full is less than all.
                much = got >= PIPE / 2;
                if much && let Some(small) = pipe.take_if(|pipe| pipe.large.is_none()) {
                    small.keep();
                    pipe = Pipe::take(much);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if let Some(pipe) = pipe.take() {
                    pipe.keep();
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Moves what is there into an empty pipe; 0: the peer has ended.
fn read(from: &TcpStream, pipe: &Pipe) -> io::Result<usize> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    from.try_io(Interest::READABLE, || {
        Ok(splice(from, None, &pipe.write, None, MOST, flags)?)
    })
}

/// Moves all that is in the pipe.
async fn drain(pipe: &Pipe, to: &TcpStream, mut left: usize) -> io::Result<()> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    while left > 0 {
        let sent = to.async_io(Interest::WRITABLE, || {
            Ok(splice(&pipe.read, None, to, None, left, flags)?)
        });
        left -= sent.await?;
    }
    Ok(())
}

/// Copies what is there; 0: the peer has ended.
async fn copy(from: &TcpStream, to: &TcpStream) -> io::Result<usize> {
    let mut buffer = vec![0; BUFFER];
    let got = from.try_read(&mut buffer)?;
    send(to, &buffer[..got]).await?;
    Ok(got)
}

/// Sends all of it.
pub async fn send(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let send = || SockRef::from(to).send(bytes);
        let sent = to.async_io(Interest::WRITABLE, send).await?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

// === impl Pipe ===

impl Pipe {
    /// Returns a pipe, a large one for `much` if there is one; `None`: the process has too many open files.
    fn take(much: bool) -> Option<Self> {
        let large = much.then(|| Self::kept(true).or_else(Self::new_large));
        large
            .flatten()
            .or_else(|| Self::kept(false))
            .or_else(|| Self::new(PIPE).map(|(pipe, _)| pipe))
    }

    fn kept(large: bool) -> Option<Self> {
        let mut pipes = PIPES.lock().expect("no panic while pipes are held");
        let place = pipes.iter().rposition(|pipe| pipe.large.is_some() == large);
        place.map(|place| pipes.swap_remove(place))
    }

    fn new_large() -> Option<Self> {
        let turn = Turn::take()?;
        let (pipe, size) = Self::new(LARGE)?;
        (size >= LARGE).then_some(Self {
            large: Some(turn),
            ..pipe
        })
    }

    /// Returns a pipe and how much it holds: a smaller one works too.
    fn new(size: usize) -> Option<(Self, usize)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let granted = fcntl_setpipe_size(&write, size).unwrap_or(0);
        let large = None;
        Some((Self { read, write, large }, granted))
    }

    /// Keeps a pipe with nothing in it.
    fn keep(self) {
        let mut pipes = PIPES.lock().expect("no panic while pipes are held");
        if pipes.len() < KEPT {
            pipes.push(self);
        }
    }
}

// === impl Turn ===

impl Turn {
    fn take() -> Option<Self> {
        let taken = TURNS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        taken.ok().map(|_| Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURNS.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn bytes_arrive_as_they_were_sent() {
        let data: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
        for pieces in [1, 100, 100_000] {
            let ((mut a, b), (c, mut d)) = (pair().await, pair().await);
            let moved = AtomicBool::new(false);
            let sent = &data[..data.len().min(pieces * 3_000)];
            let writer = async {
                for piece in sent.chunks(sent.len() / pieces.min(1_000)) {
                    a.write_all(piece).await.unwrap();
                }
                a.shutdown().await.unwrap();
            };
            let mut got = Vec::new();
            let reader = async { d.read_to_end(&mut got).await.unwrap() };
            let (total, (), read) = tokio::join!(forward(&b, &c, &moved), writer, reader);
            assert_eq!(total.unwrap(), sent.len() as u64);
            assert_eq!(read, sent.len());
            assert!(got == sent && moved.load(Ordering::Relaxed));
        }
    }

    #[tokio::test]
    async fn without_a_pipe_bytes_are_copied() {
        let ((mut a, b), (c, mut d)) = (pair().await, pair().await);
        a.write_all(b"some").await.unwrap();
        b.readable().await.unwrap();
        assert_eq!(copy(&b, &c).await.unwrap(), 4);
        let waits = copy(&b, &c).await.unwrap_err();
        assert_eq!(waits.kind(), ErrorKind::WouldBlock);
        a.shutdown().await.unwrap();
        b.readable().await.unwrap();
        assert_eq!(copy(&b, &c).await.unwrap(), 0);
        let mut got = [0; 4];
        d.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"some");
    }

    #[test]
    fn large_pipes_are_few_and_come_back() {
        let taken: Vec<_> = (0..MOST_LARGE * 2)
            .map(|_| Pipe::take(true).unwrap())
            .collect();
        let large = taken.iter().filter(|pipe| pipe.large.is_some()).count();
        assert!((1..=MOST_LARGE).contains(&large), "{large}");
        drop(taken);
        let again = Pipe::take(true).unwrap();
        assert!(again.large.is_some());
        again.keep();
        assert!(Pipe::take(false).unwrap().large.is_none());
    }

    #[tokio::test]
    async fn who_left_ends_it() {
        let ((mut a, b), (c, d)) = (pair().await, pair().await);
        SockRef::from(&d)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
        drop(d);
        let moved = AtomicBool::new(false);
        let write = async { while a.write_all(&[0; 10_000]).await.is_ok() {} };
        let ended = tokio::select! {
            ended = forward(&b, &c, &moved) => ended,
            () = write => unreachable!("the other side holds its socket"),
        };
        assert!(ended.is_err());
    }
}
