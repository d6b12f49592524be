//! Against the library's own server, over streams that carry little at a time.

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer},
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, server};

use super::*;

/// A server's identity, made for the test.
struct Site {
    certificate: CertificateDer<'static>,
    server: Arc<ServerConfig>,
}

impl Site {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let made = rcgen::generate_simple_self_signed(["site.test".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut server = ServerConfig::builder_with_protocol_versions(&[version])
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        server.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            certificate,
            server: Arc::new(server),
        }
    }

    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        client(roots)
    }
}

fn client(roots: RootCertStore) -> Arc<ClientConfig> {
    Arc::new(crate::upstream::tls::config(Arc::new(roots)).unwrap())
}

async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    config: Arc<ClientConfig>,
    io: S,
) -> io::Result<TlsStream<S>> {
    let name = "site.test".try_into().unwrap();
    TlsStream::connect(config, name, vec![b"h2".to_vec()], io).await
}

/// A stream that carries so many bytes at a time.
struct Narrow(DuplexStream, usize);

impl AsyncRead for Narrow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut room = vec![0; self.1.min(out.remaining())];
        let mut piece = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut piece))?;
        out.put_slice(piece.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n = self.1.min(bytes.len());
        Pin::new(&mut self.0).poll_write(cx, &bytes[..n])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Both ends of a connection, of which ours carries so many bytes at a time.
async fn pair(site: &Site, at_once: usize) -> (TlsStream<Narrow>, server::TlsStream<DuplexStream>) {
    let (near, far) = duplex(100_000);
    let accepted = tokio::spawn(TlsAcceptor::from(Arc::clone(&site.server)).accept(far));
    let narrow = Narrow(near, at_once);
    let mut stream = connect(site.client(), narrow).await.unwrap();
    // Our last message waits for the first data.
    stream.flush().await.unwrap();
    (stream, accepted.await.unwrap().unwrap())
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 % 251) as u8).collect()
}

#[tokio::test]
async fn everything_arrives_both_ways_whatever_the_pieces() {
    let data = bytes(300_000);
    for version in [&TLS12, &TLS13] {
        let site = Site::new(version);
        for (at_once, piece) in [(1, 5), (700, 3_000), (1 << 20, 16_384), (1 << 20, 100_000)] {
            let data = &data[..if at_once == 1 { 2_000 } else { data.len() }];
            let (mut stream, far) = pair(&site, at_once).await;
            assert_eq!(stream.alpn_protocol(), Some(&b"h2"[..]));
            let (mut hears, mut says) = tokio::io::split(far);
            let sent = data.to_vec();
            let up = tokio::spawn(async move {
                let mut heard = vec![0; sent.len()];
                hears.read_exact(&mut heard).await.unwrap();
                assert!(heard == sent);
            });
            let sent = data.to_vec();
            let down = tokio::spawn(async move {
                says.write_all(&sent).await.unwrap();
                says.flush().await.unwrap();
                says
            });
            let (mut reading, mut writing) = tokio::io::split(&mut stream);
            let read = async {
                let mut got = Vec::new();
                let mut buffer = vec![0; piece];
                while got.len() < data.len() {
                    let n = reading.read(&mut buffer).await.unwrap();
                    assert_ne!(n, 0);
                    got.extend_from_slice(&buffer[..n]);
                }
                got
            };
            let write = async {
                for piece in data.chunks(piece) {
                    writing.write_all(piece).await.unwrap();
                }
                writing.flush().await.unwrap();
            };
            let (got, ()) = tokio::join!(read, write);
            assert!(got == data);
            up.await.unwrap();
            drop(down.await.unwrap());
            assert_eq!(stream.incoming.len() + stream.outgoing.len(), 0);
        }
    }
}

#[tokio::test]
async fn slices_are_one_record() {
    let (mut stream, mut far) = pair(&Site::new(&TLS13), 1 << 20).await;
    let slices = [&b"head "[..], &b""[..], &b"body"[..]].map(IoSlice::new);
    assert_eq!(stream.write_vectored(&slices).await.unwrap(), 9);
    let mut got = [0; 64];
    assert_eq!(far.read(&mut got).await.unwrap(), 9);
    assert_eq!(&got[..9], b"head body");
}

#[tokio::test]
async fn keys_are_changed_when_the_server_asks() {
    let (mut stream, mut far) = pair(&Site::new(&TLS13), 1 << 20).await;
    let data = bytes(40_000);
    for _ in 0..3 {
        far.get_mut().1.refresh_traffic_keys().unwrap();
        far.write_all(&data).await.unwrap();
        far.flush().await.unwrap();
        let mut got = vec![0; data.len()];
        stream.read_exact(&mut got).await.unwrap();
        assert!(got == data);
        stream.write_all(&data).await.unwrap();
        stream.flush().await.unwrap();
        far.read_exact(&mut got).await.unwrap();
        assert!(got == data);
    }
}

#[tokio::test]
async fn an_end_that_was_said_is_told_from_one_that_was_not() {
    for version in [&TLS12, &TLS13] {
        for said in [false, true] {
            let (mut stream, mut far) = pair(&Site::new(version), 1 << 20).await;
            far.write_all(b"the last").await.unwrap();
            if said {
                far.shutdown().await.unwrap();
            } else {
                far.flush().await.unwrap();
            }
            drop(far);
            let mut got = Vec::new();
            let read = stream.read_to_end(&mut got).await;
            assert_eq!(got, b"the last");
            match read {
                Ok(_) => assert!(said),
                Err(error) => {
                    assert!(!said);
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                }
            }
        }
    }
}

#[tokio::test]
async fn the_server_hears_that_we_end() {
    let (mut stream, mut far) = pair(&Site::new(&TLS13), 1 << 20).await;
    stream.write_all(b"all").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"all");
    // It may go on for its part.
    far.write_all(b"more").await.unwrap();
    far.flush().await.unwrap();
    let mut got = [0; 4];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"more");
}

/// An upload is answered early by one that reads no more of it (RFC 9112 §9.5).
#[tokio::test]
async fn what_was_said_before_the_other_side_was_gone_is_read() {
    let (mut stream, mut far) = pair(&Site::new(&TLS13), 1 << 20).await;
    far.write_all(b"too large").await.unwrap();
    far.flush().await.unwrap();
    drop(far);
    while stream.write_all(&bytes(70_000)).await.is_ok() {}
    let mut got = [0; 64];
    assert_eq!(stream.read(&mut got).await.unwrap(), 9);
    assert_eq!(&got[..9], b"too large");
    assert!(stream.flush().await.is_err());
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_and_the_server_told() {
    for version in [&TLS12, &TLS13] {
        let (site, other) = (Site::new(version), Site::new(version));
        let (near, far) = duplex(1 << 20);
        let accepted = tokio::spawn(TlsAcceptor::from(Arc::clone(&site.server)).accept(far));
        let refused = connect(other.client(), near).await.err().unwrap();
        let cause = refused.get_ref().unwrap().downcast_ref::<rustls::Error>();
        assert!(
            matches!(cause, Some(rustls::Error::InvalidCertificate(_))),
            "{refused:?}"
        );
        let heard = accepted.await.unwrap().err().unwrap();
        assert!(heard.to_string().contains("alert"), "{heard}");
    }
}

#[tokio::test]
async fn what_was_changed_on_the_way_is_never_handed_on() {
    let site = Site::new(&TLS13);
    let (near, mut middle) = duplex(1 << 20);
    let (mut other, far) = duplex(1 << 20);
    let accepted = tokio::spawn(TlsAcceptor::from(Arc::clone(&site.server)).accept(far));
    let relay = tokio::spawn(async move {
        let (mut up, mut down) = ([0; 4096], [0; 65_536]);
        loop {
            tokio::select! {
                n = middle.read(&mut up) => match n.unwrap() {
                    0 => return,
                    n => other.write_all(&up[..n]).await.unwrap(),
                },
                n = other.read(&mut down) => {
                    let n = n.unwrap();
                    if n > 10_000 {
                        down[n - 1] ^= 1;
                    }
                    middle.write_all(&down[..n]).await.unwrap();
                }
            }
        }
    });
    let mut stream = connect(site.client(), near).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut far = accepted.await.unwrap().unwrap();
    let mut got = [0; 5];
    far.read_exact(&mut got).await.unwrap();
    far.write_all(b"fine").await.unwrap();
    far.flush().await.unwrap();
    let mut got = vec![0; 65_536];
    assert_eq!(stream.read(&mut got).await.unwrap(), 4);
    far.write_all(&[7; 12_000]).await.unwrap();
    far.flush().await.unwrap();
    for _ in 0..3 {
        let error = stream.read(&mut got).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    }
    assert!(stream.write_all(b"more").await.is_err());
    drop((stream, far));
    relay.abort();
}

#[tokio::test]
async fn an_idle_connection_has_no_buffer() {
    let (mut stream, mut far) = pair(&Site::new(&TLS13), 1 << 20).await;
    for n in [100, 400_000] {
        let data = bytes(n);
        let mut got = vec![0; n];
        let written = async {
            far.write_all(&data).await?;
            far.flush().await
        };
        let (written, read) = tokio::join!(written, stream.read_exact(&mut got));
        written.and(read.map(drop)).unwrap();
        assert!(got == data);
        let mut more = [0; 8];
        assert!(futures_util::poll!(std::pin::pin!(stream.read(&mut more))).is_pending());
        assert_eq!(stream.incoming.capacity(), 0);
        assert_eq!(stream.rest.capacity() + stream.outgoing.capacity(), 0);
    }
}
