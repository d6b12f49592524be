//! An origin that takes nothing but the strictest reading of HTTP/1.1 (RFC 9112) or HTTP/2, and remembers what it read
//! and what it would not: whatever a proxy passes on must have one reading only.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use h2::{RecvStream, server};
use http::{Method, Request, Response};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    task::JoinHandle,
};

use super::{
    pki::{TRUSTED, Valid},
    raw::tcp,
};

/// The same origin three times: with TLS, without, and with HTTP/2 alone.
pub struct Strict {
    pub tls: SocketAddr,
    pub plain: SocketAddr,
    pub http2: SocketAddr,
    log: Arc<Mutex<Vec<Read>>>,
    tasks: [JoinHandle<()>; 3],
}

/// What came of one message.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// Method, target and body.
    Request(String),
    /// The connection ended within a message.
    Cut,
    /// It has more than one reading, or none.
    Hazard(String),
}

pub async fn strict(name: &str) -> Strict {
    let log = Arc::<Mutex<Vec<Read>>>::default();
    let acceptor = |alpn| {
        let config = TRUSTED.issue(&[name], Valid::Now).server_config(&[alpn]);
        tokio_rustls::TlsAcceptor::from(config)
    };
    let (tls, with) = tcp({
        let (acceptor, log) = (acceptor("http/1.1"), log.clone());
        move |socket| {
            let (acceptor, log) = (acceptor.clone(), log.clone());
            async move {
                if let Ok(stream) = acceptor.accept(socket).await {
                    converse(stream, log).await;
                }
            }
        }
    })
    .await;
    let (http2, newer) = tcp({
        let (acceptor, log, name) = (acceptor("h2"), log.clone(), name.to_owned());
        move |socket| {
            let (acceptor, log, name) = (acceptor.clone(), log.clone(), name.clone());
            async move {
                if let Ok(stream) = acceptor.accept(socket).await {
                    converse_http2(stream, name, log).await;
                }
            }
        }
    })
    .await;
    let (plain, without) = tcp({
        let log = log.clone();
        move |socket| converse(socket, log.clone())
    })
    .await;
    Strict {
        tls,
        plain,
        http2,
        log,
        tasks: [with, without, newer],
    }
}

// === impl Strict ===

impl Strict {
    /// Returns what was read since the last time.
    pub fn take(&self) -> Vec<Read> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, log: Arc<Mutex<Vec<Read>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let read = match request(&mut stream).await {
            Ok(Some(read)) => Read::Request(read),
            Ok(None) => return,
            Err(Stop::Cut) => Read::Cut,
            Err(Stop::Hazard(why)) => Read::Hazard(why),
        };
        let body = match &read {
            Read::Request(request) => request.clone(),
            _ => String::new(),
        };
        let go_on = matches!(read, Read::Request(_));
        log.lock().unwrap().push(read);
        if !go_on {
            return;
        }
        // An answer to HEAD has no body.
        let body = if body.starts_with("HEAD ") { "" } else { &body };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

enum Stop {
    Cut,
    Hazard(String),
}

fn hazard<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Hazard(why.into()))
}

/// Reads one message; `None`: the connection has ended between two.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<String>, Stop> {
    let Some(line) = line(stream, true).await? else {
        return Ok(None);
    };
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else {
        return hazard(format!("request line {line:?}"));
    };
    if method.is_empty() || !method.bytes().all(is_token) || !target.starts_with(['/', '*']) {
        return hazard(format!("request line {line:?}"));
    }
    if !target.bytes().all(|b| b.is_ascii_graphic() || b >= 0x80) || target.contains('#') {
        return hazard(format!("target {target:?}"));
    }
    let fields = fields(stream).await?;
    let all = |name: &str| -> Vec<&str> {
        let named = fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, v)| v.as_str()).collect()
    };
    if all("host").len() != 1 {
        return hazard(format!("Host {:?}", all("host")));
    }
    if all("authorization") != ["Bearer t1"] {
        return hazard(format!("credentials {:?}", all("authorization")));
    }
    let body = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => String::new(),
        ([length], []) => {
            if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) || length.len() > 15
            {
                return hazard(format!("Content-Length {length:?}"));
            }
            bytes(stream, length.parse().expect("digits")).await?
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => chunks(stream).await?,
        framing => return hazard(format!("framing {framing:?}")),
    };
    let space = if body.is_empty() { "" } else { " " };
    Ok(Some(format!("{method} {target}{space}{body}")))
}

async fn chunks(stream: &mut (impl AsyncRead + Unpin)) -> Result<String, Stop> {
    let mut body = String::new();
    loop {
        let size = line(stream, false).await?.ok_or(Stop::Cut)?;
        if size.is_empty() || size.len() > 12 || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return hazard(format!("chunk size {size:?}"));
        }
        let size = usize::from_str_radix(&size, 16).expect("hexadecimal");
        if size == 0 {
            break;
        }
        body.push_str(&bytes(stream, size).await?);
        if !line(stream, false).await?.ok_or(Stop::Cut)?.is_empty() {
            return hazard("a chunk longer than it says");
        }
    }
    for (name, _) in fields(stream).await? {
        let name = name.to_ascii_lowercase();
        if !name.starts_with("x-") {
            return hazard(format!("trailer {name}"));
        }
    }
    Ok(body)
}

async fn fields(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<(String, String)>, Stop> {
    let mut fields = Vec::new();
    loop {
        let line = line(stream, false).await?.ok_or(Stop::Cut)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let Some((name, value)) = line.split_once(':') else {
            return hazard(format!("field {line:?}"));
        };
        if name.is_empty() || !name.bytes().all(is_token) {
            return hazard(format!("field name {name:?}"));
        }
        if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            return hazard(format!("field value {value:?}"));
        }
        fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

/// Reads a line that ends in CR LF and has neither of them inside; `None`: there is nothing at all.
async fn line(
    stream: &mut (impl AsyncRead + Unpin),
    may_end: bool,
) -> Result<Option<String>, Stop> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(byte) => line.push(byte),
            Err(_) if line.is_empty() && may_end => return Ok(None),
            Err(_) => return Err(Stop::Cut),
        }
        if line.ends_with(b"\n") {
            let Some(text) = line.strip_suffix(b"\r\n") else {
                return hazard("a bare LF");
            };
            if text.contains(&b'\r') {
                return hazard("a bare CR");
            }
            return Ok(Some(String::from_utf8_lossy(text).into_owned()));
        }
    }
}

async fn bytes(stream: &mut (impl AsyncRead + Unpin), count: usize) -> Result<String, Stop> {
    let mut bytes = vec![0; count];
    let read = stream.read_exact(&mut bytes).await;
    read.map_err(|_| Stop::Cut)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The same over HTTP/2 (RFC 9113 §8), as far as its library lets anything else by.
async fn converse_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    name: String,
    log: Arc<Mutex<Vec<Read>>>,
) {
    let Ok(mut connection) = server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (name, log) = (name.clone(), log.clone());
        // Whoever accepts drives the bodies too.
        tokio::spawn(async move {
            let is_head = request.method() == Method::HEAD;
            let read = match request_http2(request, &name).await {
                Ok(read) => Read::Request(read),
                Err(Stop::Cut) => Read::Cut,
                Err(Stop::Hazard(why)) => Read::Hazard(why),
            };
            log.lock().unwrap().push(read.clone());
            let Read::Request(read) = read else { return };
            let head = Response::builder().header("content-length", read.len());
            let head = head.body(()).expect("an answer");
            // The peer may be gone.
            if let Ok(mut stream) = respond.send_response(head, is_head)
                && !is_head
            {
                let _ = stream.send_data(read.into(), true);
            }
        });
    }
}

async fn request_http2(request: Request<RecvStream>, name: &str) -> Result<String, Stop> {
    let (head, mut stream) = request.into_parts();
    let fields: Vec<_> = head.headers.iter().collect();
    let all = |name: &str| -> Vec<&[u8]> {
        let named = fields.iter().filter(|(n, _)| *n == name);
        named.map(|(_, v)| v.as_bytes()).collect()
    };
    let target = head.uri.path_and_query().map_or("", |path| path.as_str());
    if head.uri.scheme_str() != Some("https") || head.uri.authority().is_none_or(|a| a != name) {
        return hazard(format!("{:?}", head.uri));
    }
    if !target.starts_with(['/', '*']) {
        return hazard(format!("target {target:?}"));
    }
    if all("authorization") != [b"Bearer t1"] {
        return hazard(format!("credentials {:?}", all("authorization")));
    }
    let lengths = all("content-length");
    let one = |length: &&[u8]| !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    if lengths.len() > 1 || !all("host").is_empty() || !lengths.iter().all(one) {
        return hazard(format!("fields {fields:?}"));
    }
    // A body of another length than is said is an error of the library's.
    let stop = |error: h2::Error| match error.is_library() {
        true => Stop::Hazard(error.to_string()),
        false => Stop::Cut,
    };
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.map_err(stop)?;
        let _ = stream.flow_control().release_capacity(piece.len());
        body.extend_from_slice(&piece);
    }
    if let Some(trailers) = stream.trailers().await.map_err(stop)?
        && let Some(name) = trailers
            .keys()
            .find(|name| !name.as_str().starts_with("x-"))
    {
        return hazard(format!("trailer {name}"));
    }
    let space = if body.is_empty() { "" } else { " " };
    let body = String::from_utf8_lossy(&body);
    Ok(format!("{} {target}{space}{body}", head.method))
}
