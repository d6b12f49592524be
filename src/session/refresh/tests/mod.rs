//! The kinds against a server on loopback that plays a script: request text → answer text.

mod oauth2;
mod site;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::RootCertStore;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{Outcome, Permit, Refresh, Renewed, Spend, World, of};
use crate::{
    env::Env,
    grant::Grant,
    jar::{Bounds, Jar},
    life::{Cause, Failure},
    limits::Limits,
    origin::Origin,
    rule::{Recipe, Url},
    store::SessionId,
    upstream::{self, Upstream, egress::Egress},
};

/// A server that answers each request with the next line of its script and remembers what it was asked.
struct Server {
    origin: Origin,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn play(script: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            for answer in script {
                let (mut io, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                let mut byte = [0; 4096];
                while !whole(&request) {
                    let n = io.read(&mut byte).await.unwrap();
                    if n == 0 {
                        break;
                    }
                    request.extend_from_slice(&byte[..n]);
                }
                log.lock()
                    .unwrap()
                    .push(String::from_utf8(request).unwrap());
                io.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self {
            origin: origin.parse().unwrap(),
            asked,
        }
    }

    fn url(&self, path: &str) -> Url {
        Url {
            origin: self.origin.clone(),
            path: path.to_owned(),
        }
    }

    fn asked(&self, at: usize) -> String {
        self.asked.lock().unwrap()[at].clone()
    }
}

fn whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

fn says(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn world() -> World {
    let limits = Limits {
        connect: Duration::from_secs(2),
        token_answer: 4096,
        ..Limits::default()
    };
    let upstream = Upstream::new(upstream::Config {
        roots: RootCertStore::empty(),
        resolve: HashMap::new(),
        egress: Egress::direct(),
        ours: Vec::new(),
        limits: limits.clone(),
    });
    World {
        upstream: upstream.unwrap(),
        env: Env::real(),
        limits,
    }
}

fn spend(fields: &[(&str, &str)]) -> Spend {
    let fields = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()));
    Spend {
        grant: Arc::new(Grant {
            fields: fields.collect(),
            ..Grant::default()
        }),
        jar: Arc::new(Jar::new(Bounds::from(&Limits::default()))),
        cause: Cause::Needed,
        permit: Permit::default(),
    }
}

fn make(recipe: Recipe) -> Arc<dyn Refresh> {
    of(&Arc::new(recipe), &SessionId::new("app", None), &world())
}

async fn ask(recipe: Recipe, spend: Spend) -> Outcome {
    make(recipe).refresh(spend).await
}

fn renewed(outcome: Outcome) -> Renewed {
    match outcome {
        Outcome::Renewed(renewed) => renewed,
        Outcome::Failed(failure) => panic!("{failure}"),
    }
}

fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        Outcome::Renewed(renewed) => panic!("{renewed:?}"),
    }
}
