//! The admin side of a running proxy, as a command asks it.
//!
//! The proxy must prove that it has the token before it gets it: whoever else listens on its port learns nothing.
//! And it is used only if it runs with the same configuration file.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::error::Error;
use crate::{
    admin::{
        About, Problem, place,
        token::{self, CHALLENGE, PROOF, Token},
    },
    config::{Config, Listen},
    env::Env,
    upstream::io::Io,
};

/// How long the proxy may take to say who it is; it is on this machine.
const HELLO: Duration = Duration::from_secs(3);
/// How long an answer may take: a refresh waits for others, and then for a server.
const ANSWER: Duration = Duration::from_secs(120);
/// Bytes of an answer.
const LARGEST: usize = 16 * 1024 * 1024;

/// A connection to a running proxy's admin side.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    token: Token,
    host: String,
    pub(super) about: About,
}

/// Why an answer is none.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the connection broke")]
    Http(#[from] hyper::Error),
    #[error("the answer took too long")]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error("the answer is too large or was cut off")]
    Cut,
    #[error("the answer is no JSON")]
    Json(#[from] serde_json::Error),
}

// === impl Client ===

impl Client {
    /// Finds the proxy that runs with this configuration; `None` if none does.
    pub(super) async fn find(config: &Config) -> Option<Self> {
        let address = &place::find(config.admin.as_ref()?, &config.state)?;
        let token = Token::read(&token::file(&config.state)).ok()?;
        let hello = async {
            let sender = connect(address).await?;
            let host = match address {
                Listen::Tcp(address) => address.to_string(),
                Listen::Unix(_) => "localhost".to_owned(),
            };
            let about = About {
                version: String::new(),
                pid: 0,
                config: String::new(),
                listen: Vec::new(),
                ca: String::new(),
            };
            let mut client = Self {
                sender,
                token,
                host,
                about,
            };
            client.is_proven().await.then_some(())?;
            let about = client.ask(Method::GET, "/api/v1/proxy", None).await.ok()?;
            client.about = serde_json::from_value(about).ok()?;
            same_file(Path::new(&client.about.config), &config.file).then_some(client)
        };
        timeout(HELLO, hello).await.ok()?
    }

    /// Asks; an answer that is a problem is an error for people.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let broken = |e: Broken| Error::because("the running proxy does not answer", e);
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let mut token = http::HeaderValue::try_from(format!("Bearer {}", self.token.expose()))
            .map_err(|_| Error::failed("the admin token's file holds no token"))?;
        token.set_sensitive(true);
        let request = self
            .request(method, path)
            .header(AUTHORIZATION, token)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(bytes)))
            .expect("a path of the API is a target");
        let (status, text) = self.send(request).await.map_err(broken)?;
        if status.is_success() {
            return serde_json::from_slice(&text).map_err(|e| broken(e.into()));
        }
        match serde_json::from_slice(&text) {
            Ok(Problem { detail, hint, .. }) => Err(Error::failed(detail).hint(hint)),
            Err(error) => Err(broken(error.into())),
        }
    }

    /// Lets the proxy prove that it has the token.
    async fn is_proven(&mut self) -> bool {
        let env = Env::real();
        let challenge = format!("{:016x}{:016x}", env.random(), env.random());
        let request = self
            .request(Method::GET, "/healthz")
            .header(CHALLENGE, &challenge)
            .body(Full::default())
            .expect("made of plain parts");
        let Ok(response) = self.sender.send_request(request).await else {
            return false;
        };
        let proof = response.headers().get(PROOF).cloned();
        let whole = Limited::new(response.into_body(), LARGEST).collect().await;
        whole.is_ok()
            && proof.is_some_and(|proof| proof == self.token.proof(challenge.as_bytes()).as_str())
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Broken> {
        let whole = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            let body = body.map_err(|_| Broken::Cut)?;
            Ok((status, body.to_bytes()))
        };
        timeout(ANSWER, whole).await?
    }
}

async fn connect(address: &Listen) -> Option<SendRequest<Full<Bytes>>> {
    match address {
        Listen::Tcp(address) => handshake(TcpStream::connect(address).await.ok()?).await,
        Listen::Unix(path) => handshake(UnixStream::connect(path).await.ok()?).await,
    }
}

async fn handshake<S: Io + 'static>(io: S) -> Option<SendRequest<Full<Bytes>>> {
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.ok()?;
    // It ends with the sender.
    tokio::spawn(connection);
    Some(sender)
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}
