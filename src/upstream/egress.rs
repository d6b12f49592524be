//! The way out: straight to the origin, or through an upstream proxy (HTTP CONNECT, also over TLS; SOCKS5).

use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::{
    Route,
    dial::Dialer,
    error::{Error, Kind},
    io::{Chunked, Hop, Io},
    mark::Marks,
    reach::Reach,
};
use crate::origin::{Authority, Host, Origin};

/// Bytes of a proxy's answer to CONNECT.
const ANSWER: usize = 8 * 1024;

/// Which upstream proxy, if any, leads to which origin.
#[derive(Debug)]
pub struct Egress(Option<Matcher>);

// === impl Egress ===

impl Egress {
    /// Straight to every origin.
    pub fn direct() -> Self {
        Self(None)
    }

    /// Through `all`, or what the variables of the environment say; `no` lists exceptions (`NO_PROXY`).
    pub fn new(http: &str, https: &str, no: &str) -> Self {
        if http.is_empty() && https.is_empty() {
            return Self(None);
        }
        Self(Some(
            Matcher::builder()
                .http(http.to_owned())
                .https(https.to_owned())
                .no(no.to_owned())
                .build(),
        ))
    }

    /// Returns the proxy for an origin.
    fn through(&self, origin: &Origin) -> Option<Intercept> {
        let uri: Uri = format!("{}://{}/", origin.scheme, origin.authority())
            .parse()
            .ok()?;
        self.0.as_ref()?.intercept(&uri)
    }

    /// Connects to an origin's host and port; what comes back carries the origin's own bytes.
    pub async fn connect(
        &self,
        route: &Route,
        dialer: &Dialer,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<Hop, Error> {
        let Route {
            client,
            origin,
            reach,
        } = route;
        let Some(proxy) = self.through(origin) else {
            let socket = dialer.connect(client.as_ref(), &origin.host, origin.port, *reach);
            let socket = socket.await?;
            return Ok(Hop::Tcp(Chunked::new(socket)));
        };
        // The proxy resolves the name; what the name itself says is judged here.
        if !reach.allows_host(&origin.host) {
            return Err(Error::unsent(Kind::Prohibited));
        }
        let within = tokio::time::timeout(dialer.limit, tunnel(&proxy, origin, dialer, tls));
        within
            .await
            .map_err(|_| Error::unsent(Kind::ConnectTimeout))?
    }
}

async fn tunnel(
    proxy: &Intercept,
    origin: &Origin,
    dialer: &Dialer,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Hop, Error> {
    let uri = proxy.uri();
    let scheme = uri.scheme_str().unwrap_or("http");
    let text = uri.authority().map_or("", |a| a.as_str());
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let authority: Authority = text
        .parse()
        .map_err(|e| Error::unsent(Kind::Dns).because(e))?;
    let socks = scheme.starts_with("socks5");
    let port = authority.port.unwrap_or(match scheme {
        "https" => 443,
        _ if socks => 1080,
        _ => 80,
    });
    // Its name is one for all clients.
    let socket = dialer.connect(None, &authority.host, port, Reach::Anywhere);
    let socket = Chunked::new(socket.await.map_err(|error| match error.kind() {
        Kind::Ourselves(_) => error,
        // Whoever asked for the origin must not be told that the origin refused.
        _ => Error::unsent(Kind::EgressRefused).because(error),
    })?);
    if socks {
        return socks5(socket, proxy, origin)
            .await
            .map(|io| Hop::Proxied(Box::new(io)));
    }
    if scheme == "https" {
        let connector = TlsConnector::from(tls.clone());
        let connector = connector.with_alpn(vec![b"http/1.1".to_vec()]);
        let name = super::server_name(&authority.host)?;
        let io = connector
            .connect(name, socket)
            .await
            .map_err(|e| Error::unsent(Kind::EgressRefused).because(e))?;
        return connect(io, proxy, origin, &dialer.marks)
            .await
            .map(|io| Hop::Proxied(Box::new(io)));
    }
    connect(socket, proxy, origin, &dialer.marks)
        .await
        .map(|io| Hop::Proxied(Box::new(io)))
}

/// Asks an HTTP proxy for a tunnel (RFC 9110 §9.3.6).
async fn connect<S: Io>(
    mut io: S,
    proxy: &Intercept,
    origin: &Origin,
    marks: &Marks,
) -> Result<S, Error> {
    let failed = |e: std::io::Error| Error::unsent(Kind::EgressRefused).because(e);
    let target = format!("{}:{}", origin.host, origin.port);
    let name = marks.of(None, origin);
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nVia: 1.1 {name}\r\n");
    let mut head = head.into_bytes();
    if let Some(credential) = proxy.basic_auth() {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(credential.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    io.write_all(&head).await.map_err(failed)?;
    io.flush().await.map_err(failed)?;
    let status = loop {
        let status = answer(&mut io).await?;
        // RFC 9110 §15.2: any number of them may come before the answer.
        if !matches!(status, Some(100 | 102..=199)) {
            break status;
        }
    };
    match status {
        Some(200..=299) => Ok(io),
        Some(status) => {
            Err(Error::unsent(Kind::EgressRefused).because(format!("it answered {status}")))
        }
        None => Err(Error::unsent(Kind::EgressRefused).because("its answer is not HTTP")),
    }
}

/// Reads the head of an answer, byte by byte, so that nothing of what follows it is taken; returns its status.
async fn answer<S: Io>(io: &mut S) -> Result<Option<u16>, Error> {
    let failed = |e: std::io::Error| Error::unsent(Kind::EgressRefused).because(e);
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == ANSWER {
            return Err(Error::unsent(Kind::EgressRefused).because("its answer has no end"));
        }
        head.push(io.read_u8().await.map_err(failed)?);
    }
    let status = head.split(|b| *b == b' ').nth(1);
    Ok(status.and_then(|s| std::str::from_utf8(s).ok()?.parse().ok()))
}

/// Asks a SOCKS5 proxy for a connection (RFC 1928, RFC 1929); it resolves the name.
async fn socks5<S: Io>(mut io: S, proxy: &Intercept, origin: &Origin) -> Result<S, Error> {
    let failed = |e: std::io::Error| Error::unsent(Kind::EgressRefused).because(e);
    let refused = |why: &'static str| Error::unsent(Kind::EgressRefused).because(why);
    let login = proxy.raw_auth();
    let greeting: &[u8] = if login.is_some() {
        &[5, 2, 0, 2]
    } else {
        &[5, 1, 0]
    };
    io.write_all(greeting).await.map_err(failed)?;
    let mut method = [0; 2];
    io.read_exact(&mut method).await.map_err(failed)?;
    match (method, login) {
        ([5, 0], _) => {}
        ([5, 2], Some((user, password))) => {
            let length = |s: &str| {
                u8::try_from(s.len()).map_err(|_| refused("its user name or password is too long"))
            };
            let mut message = vec![1, length(user)?];
            message.extend_from_slice(user.as_bytes());
            message.push(length(password)?);
            message.extend_from_slice(password.as_bytes());
            io.write_all(&message).await.map_err(failed)?;
            let mut answer = [0; 2];
            io.read_exact(&mut answer).await.map_err(failed)?;
            if answer[1] != 0 {
                return Err(refused("it does not take the user name and password"));
            }
        }
        _ => return Err(refused("it wants another way to authenticate")),
    }
    let mut request = vec![5, 1, 0];
    match &origin.host {
        Host::Name(name) => {
            let length = u8::try_from(name.as_str().len())
                .map_err(|_| refused("the host name is too long"))?;
            request.extend_from_slice(&[3, length]);
            request.extend_from_slice(name.as_str().as_bytes());
        }
        Host::Ip(std::net::IpAddr::V4(ip)) => {
            request.push(1);
            request.extend_from_slice(&ip.octets());
        }
        Host::Ip(std::net::IpAddr::V6(ip)) => {
            request.push(4);
            request.extend_from_slice(&ip.octets());
        }
    }
    request.extend_from_slice(&origin.port.to_be_bytes());
    io.write_all(&request).await.map_err(failed)?;
    let mut answer = [0; 4];
    io.read_exact(&mut answer).await.map_err(failed)?;
    if answer[1] != 0 {
        return Err(refused("it cannot reach the origin"));
    }
    let rest = match answer[3] {
        1 => 4,
        4 => 16,
        3 => usize::from(io.read_u8().await.map_err(failed)?),
        _ => return Err(refused("its answer is not SOCKS5")),
    };
    let mut bound = vec![0; rest + 2];
    io.read_exact(&mut bound).await.map_err(failed)?;
    Ok(io)
}
