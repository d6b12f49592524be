//! Where the browser comes back to: a listener on this machine's loopback for one sign-in (RFC 8252 §7.3).
//!
//! It answers the one path with a plain page that holds nothing, and everything else with 404. Browsers open
//! connections ahead of need, and ask for icons: each has a task of its own, and none can hold up another.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{rule::Loopback, secret::Secret};

/// Connections at once: a browser opens six, and a few ahead.
const CONNECTIONS: usize = 32;
/// How long a browser may take for a request.
const HEAD: Duration = Duration::from_secs(10);
/// Bytes of a request's head: a code may be long.
const LARGEST: usize = 64 * 1024;
/// How long the last page may take to be read.
const LAST: Duration = Duration::from_secs(1);

/// A listener, and the browsers that have come.
pub(in crate::cli) struct Door {
    listener: TcpListener,
    paths: Arc<Paths>,
    sender: mpsc::Sender<Arrived>,
    arrivals: mpsc::Receiver<Arrived>,
    connections: JoinSet<()>,
}

/// What is answered.
struct Paths {
    redirect: String,
    /// A path that nobody can guess, and where it leads, once: for who must be given an address in sight of others.
    start: Option<(String, HeaderValue)>,
    started: AtomicBool,
}

/// A browser that waits for its page.
pub(in crate::cli) struct Arrived {
    /// With the code in it.
    pub(in crate::cli) query: Secret,
    answer: oneshot::Sender<Page>,
}

/// What a browser is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Page {
    SignedIn,
    Failed,
    /// It is not the answer that is waited for.
    Other,
}

// === impl Door ===

impl Door {
    /// Listens where the browser will be sent to.
    pub(in crate::cli) async fn open(at: &Loopback) -> io::Result<Self> {
        let listener = TcpListener::bind(at.address()).await?;
        let (sender, arrivals) = mpsc::channel(1);
        Ok(Self {
            listener,
            paths: Arc::new(Paths {
                redirect: at.path().to_owned(),
                start: None,
                started: AtomicBool::new(false),
            }),
            sender,
            arrivals,
            connections: JoinSet::new(),
        })
    }

    pub(in crate::cli) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Leads who comes to this path first to an address, before anybody has come.
    pub(in crate::cli) fn starts(&mut self, path: String, to: HeaderValue) {
        self.paths = Arc::new(Paths {
            redirect: self.paths.redirect.clone(),
            start: Some((path, to)),
            started: AtomicBool::new(false),
        });
    }

    /// Waits for the next browser that comes to the path.
    pub(in crate::cli) async fn next(&mut self) -> io::Result<Arrived> {
        loop {
            tokio::select! {
                Some(arrived) = self.arrivals.recv() => return Ok(arrived),
                accepted = self.listener.accept(), if self.connections.len() < CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        let (paths, sender) = (Arc::clone(&self.paths), self.sender.clone());
                        self.connections.spawn(serve(stream, paths, sender));
                    }
                    // One that went away again, or no file for it now.
                    Err(error) => {
                        tracing::debug!(%error, "a connection was not accepted");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    /// Shows this page to whoever else has come meanwhile (a reload), lets it be read, and closes.
    pub(in crate::cli) async fn close(mut self, page: Page) {
        drop((self.listener, self.sender));
        self.arrivals.close();
        while let Some(arrived) = self.arrivals.recv().await {
            arrived.show(page);
        }
        let all = async { while self.connections.join_next().await.is_some() {} };
        // Who keeps an idle connection is not waited for.
        drop(timeout(LAST, all).await);
    }
}

async fn serve(stream: TcpStream, paths: Arc<Paths>, sender: mpsc::Sender<Arrived>) {
    let service = service_fn(|request: Request<Incoming>| {
        let (paths, sender) = (Arc::clone(&paths), sender.clone());
        async move { Ok::<_, Infallible>(answer(&request, &paths, &sender).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LARGEST)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection of a browser broke");
    }
}

async fn answer(
    request: &Request<Incoming>,
    paths: &Paths,
    sender: &mpsc::Sender<Arrived>,
) -> Response<Full<Bytes>> {
    let nothing = || page(StatusCode::NOT_FOUND, "There is nothing here.");
    if request.method() != Method::GET {
        return nothing();
    }
    let path = request.uri().path();
    if let Some((start, to)) = &paths.start
        && path == start
    {
        if paths.started.swap(true, Ordering::AcqRel) {
            let text = "Somebody was here before: open the address that the terminal shows.";
            return page(StatusCode::GONE, text);
        }
        let mut response = page(StatusCode::FOUND, "");
        response.headers_mut().insert(header::LOCATION, to.clone());
        return response;
    }
    if path != paths.redirect {
        return nothing();
    }
    let (answer, waiting) = oneshot::channel();
    let query = request.uri().query().unwrap_or_default().into();
    if sender.send(Arrived { query, answer }).await.is_err() {
        return nothing();
    }
    // Who waits for nobody any more has failed.
    waiting.await.unwrap_or(Page::Failed).response()
}

// === impl Arrived ===

impl Arrived {
    /// Shows the browser what came of it; that it has gone away meanwhile does no harm.
    pub(in crate::cli) fn show(self, page: Page) {
        let _ = self.answer.send(page);
    }
}

// === impl Page ===

impl Page {
    fn response(self) -> Response<Full<Bytes>> {
        let (status, text) = match self {
            Self::SignedIn => (
                StatusCode::OK,
                "You are signed in. This window can be closed.",
            ),
            Self::Failed => (
                StatusCode::BAD_REQUEST,
                "You are not signed in: the terminal says why.",
            ),
            Self::Other => (
                StatusCode::BAD_REQUEST,
                "This page belongs to another sign-in.",
            ),
        };
        page(status, text)
    }
}

fn page(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>staysigned</title><p>{text}</p></html>\n"
    );
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    let fields = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ];
    for (name, value) in fields {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}
