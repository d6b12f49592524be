//! HTTP/2 frame by frame (RFC 9113 §4.1), for what no library would send.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    task::JoinHandle,
};

use super::{
    client::{Client, Parts, Stream},
    raw,
};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// `:status: 200`, from the static table (RFC 7541 Appendix A).
pub const OK: &[u8] = &[0x88];

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame's length");
    let head = [
        &length.to_be_bytes()[1..],
        &[kind, flags],
        &stream.to_be_bytes(),
    ]
    .concat();
    [&head, payload].concat()
}

/// A header block: a request's pseudo-fields, with no compression at all (RFC 7541 §6.2.2).
pub fn block(method: &str, authority: &str, path: &str) -> Vec<u8> {
    let fields = [
        (":method", method),
        (":scheme", "https"),
        (":authority", authority),
        (":path", path),
    ];
    fields
        .iter()
        .flat_map(|(name, value)| literal(name, value))
        .collect()
}

/// A field as a literal that nobody keeps.
pub fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
        [&[length.expect("a short text")], text.as_bytes()].concat()
    };
    [vec![0], text(name), text(value)].concat()
}

/// A frame that came.
#[derive(Clone, Debug, PartialEq)]
pub struct Came {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A connection on which frames are sent; what comes is noted.
pub struct Frames {
    write: WriteHalf<Stream>,
    came: Arc<Mutex<Vec<Came>>>,
    ended: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Frames {
    /// A connection to a host, with these settings of ours.
    pub async fn open(client: &Client, host: &str, settings: &[u8]) -> Self {
        let parts = Parts {
            connect: format!("{host}:443"),
            sni: Some(host.to_owned()),
            tls: true,
            h2: true,
        };
        let stream = client.stream(&parts).await.expect("a connection");
        let (read, write) = tokio::io::split(stream);
        let (came, ended) = (Arc::default(), Arc::default());
        let task = tokio::spawn(note(read, Arc::clone(&came), Arc::clone(&ended)));
        let mut frames = Self {
            write,
            came,
            ended,
            task,
        };
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        assert!(
            frames
                .send([preface, frame(SETTINGS, 0, 0, settings)].concat())
                .await
        );
        frames
    }

    /// Sends; `false`: the peer has ended the connection.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = async {
            self.write.write_all(bytes.as_ref()).await?;
            self.write.flush().await
        };
        let sent = tokio::time::timeout(Duration::from_secs(30), sent).await;
        sent.expect("the peer goes on reading").is_ok() && !self.ended()
    }

    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    /// Waits until the peer has ended the connection.
    pub async fn end(&self, limit: Duration) -> bool {
        let wait = async {
            while !self.ended() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }
}

async fn note(mut io: ReadHalf<Stream>, came: Arc<Mutex<Vec<Came>>>, ended: Arc<AtomicBool>) {
    while let Ok(mut frame) = read(&mut io).await {
        if frame.kind == DATA {
            // Only that it came.
            frame.payload.truncate(0);
        }
        came.lock().unwrap().push(frame);
    }
    ended.store(true, Ordering::Release);
}

async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Came> {
    let mut head = [0; 9];
    io.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    io.read_exact(&mut payload).await?;
    Ok(Came {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes(head[5..9].try_into().unwrap()),
        payload,
    })
}

/// What an origin does first.
pub async fn greet(io: &mut raw::Stream) -> io::Result<()> {
    let mut preface = [0; 24];
    io.read_exact(&mut preface).await?;
    io.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    io.flush().await
}

/// What an origin reads next, once it has answered what asks for an answer by itself.
pub async fn heed(io: &mut raw::Stream) -> io::Result<Came> {
    let came = read(io).await?;
    if matches!(came.kind, SETTINGS | PING) && came.flags & ACK == 0 {
        let payload = if came.kind == PING {
            &came.payload[..]
        } else {
            &[]
        };
        io.write_all(&frame(came.kind, ACK, 0, payload)).await?;
        io.flush().await?;
    }
    Ok(came)
}
