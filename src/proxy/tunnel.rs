//! A tunnel: bytes both ways, blindly, until both sides have ended or nothing moved for too long.

use std::{
    any::Any,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes},
    net::TcpStream,
    time::interval_at,
};
use tokio_util::sync::CancellationToken;

#[cfg(target_os = "linux")]
use super::splice;
use crate::upstream::{
    io::{Chunked, Hop, Io},
    through::writes_through,
};

/// Bytes read at once in each direction.
const BUFFER: usize = 64 * 1024;

/// Notes that bytes were read.
struct Noting<S> {
    io: S,
    moved: Arc<AtomicBool>,
}

/// Relays until both sides have ended, or nothing moved for `idle`, or `stop` says that the time is over.
pub async fn relay<A, B>(
    client: A,
    upstream: B,
    idle: Duration,
    stop: &CancellationToken,
) -> io::Result<(u64, u64)>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let moved = Arc::new(AtomicBool::new(false));
    let mut client = Noting {
        io: client,
        moved: moved.clone(),
    };
    let mut upstream = Noting {
        io: upstream,
        moved: moved.clone(),
    };
    let both = copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER);
    limited(both, &moved, idle, stop).await
}

/// Connects a client to an upstream; `rest` is what was read of the client already.
pub async fn connect<S: Io + 'static>(
    client: S,
    rest: BytesMut,
    upstream: Hop,
    idle: Duration,
    stop: &CancellationToken,
) -> io::Result<(u64, u64)> {
    match (upstream, (&client as &dyn Any).downcast_ref::<TcpStream>()) {
        #[cfg(target_os = "linux")]
        (Hop::Tcp(upstream), Some(client)) => {
            let moved = AtomicBool::new(false);
            let both = async {
                let (upstream, read) = upstream.into_parts();
                splice::send(&upstream, &rest).await?;
                splice::send(client, &read).await?;
                drop((rest, read));
                let up = splice::forward(client, &upstream, &moved);
                let down = splice::forward(&upstream, client, &moved);
                tokio::try_join!(up, down)
            };
            limited(both, &moved, idle, stop).await
        }
        (upstream, _) => relay(Chunked::with_prefix(client, rest), upstream, idle, stop).await,
    }
}

/// Lets bytes pass both ways until nothing moved for `idle`, or `stop` says that the time is over.
async fn limited(
    both: impl Future<Output = io::Result<(u64, u64)>>,
    moved: &AtomicBool,
    idle: Duration,
    stop: &CancellationToken,
) -> io::Result<(u64, u64)> {
    let quiet = async {
        let mut every = interval_at(tokio::time::Instant::now() + idle, idle);
        loop {
            every.tick().await;
            if !moved.swap(false, Ordering::Relaxed) {
                return;
            }
        }
    };
    tokio::select! {
        done = both => done,
        () = quiet => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing moved in the tunnel for too long")),
        () = stop.cancelled() => Err(io::Error::new(io::ErrorKind::Interrupted, "the proxy has stopped")),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(cx, out);
        if polled.is_ready() {
            self.moved.store(true, Ordering::Relaxed);
        }
        polled
    }
}

writes_through!(Noting, io);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_tunnel_ends() {
        let (mut a, b) = duplex(64);
        let (c, mut d) = duplex(64);
        let stop = CancellationToken::new();
        let relay = tokio::spawn(async move { relay(b, c, Duration::from_secs(60), &stop).await });
        a.write_all(b"ping").await.unwrap();
        let mut got = [0; 4];
        d.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"ping");
        assert_eq!(
            relay.await.unwrap().unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
    }
}
