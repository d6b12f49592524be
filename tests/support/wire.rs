//! HTTP/1.1 written and read byte by byte, for what no library would send.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    client::{Client, Parts, Stream},
    raw::read_head,
    within,
};

pub struct Wire(Stream);

impl Wire {
    /// Through CONNECT, TLS inside, everything naming this host.
    pub async fn https(client: &Client, host: &str) -> Self {
        let parts = Parts {
            connect: format!("{host}:443"),
            sni: Some(host.to_owned()),
            tls: true,
            h2: false,
        };
        Self::open(client, &parts).await
    }

    pub async fn open(client: &Client, parts: &Parts) -> Self {
        let stream = client.stream(parts).await;
        Self(stream.unwrap_or_else(|error| panic!("{parts:?}: {error}")))
    }

    /// To the proxy itself: absolute form, CONNECT.
    pub async fn proxy(client: &Client) -> Self {
        Self(Box::pin(client.socket().await))
    }

    pub fn new(stream: Stream) -> Self {
        Self(stream)
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = async {
            self.0.write_all(bytes.as_ref()).await?;
            self.0.flush().await
        };
        let _ = within("send", sent).await;
    }

    /// The next head; empty if the peer hung up.
    pub async fn head(&mut self) -> String {
        within("head", self.next_head()).await
    }

    /// The same, however long it takes.
    pub async fn next_head(&mut self) -> String {
        read_head(&mut self.0).await.unwrap_or_default()
    }

    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        within("bytes", self.0.read_exact(&mut bytes))
            .await
            .expect("bytes");
        bytes
    }

    /// Everything until the peer ends the connection, however it does.
    pub async fn rest(&mut self) -> String {
        let bytes = within("end", self.until_end()).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The same, however long it takes.
    pub async fn until_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.0.read_to_end(&mut bytes).await;
        bytes
    }

    /// A whole message that has a Content-Length (or no body).
    pub async fn message(&mut self) -> (String, String) {
        let head = self.head().await;
        let length =
            field(&head, "content-length").map_or(0, |value| value.parse().expect("a length"));
        let body = self.bytes(length).await;
        (head, String::from_utf8_lossy(&body).into_owned())
    }
}

/// The first value of a field in a head.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// The status of a response head; 0 if there was none.
pub fn status(head: &str) -> u16 {
    head.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0)
}
