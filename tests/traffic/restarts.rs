//! Restarts under load: whoever is connected is served, and nothing that was sent fails.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use h2::Reason;
use rustix::process::Signal;

use crate::support::{
    BoxError,
    client::{Client, Connection, eventually},
    usual::usual,
};

const SOON: Duration = Duration::from_secs(30);

/// What the clients have seen.
#[derive(Default)]
struct Tally {
    answered: AtomicUsize,
    failed: Mutex<Vec<String>>,
    over: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Each request on a connection of its own.
    Fresh,
    /// One connection, as long as it lasts.
    Kept,
}

/// Sends one request after the other; where nobody listens it asks again.
async fn work(client: Client, kind: Kind, url: String, tally: Arc<Tally>) {
    let mut kept: Option<Connection> = None;
    while !tally.over.load(Ordering::Relaxed) {
        if let Some(connection) = &mut kept
            && !connection.is_ready().await
        {
            kept = None;
        }
        let reused = kept.is_some();
        let opened = match kept.take() {
            Some(connection) => Ok(connection),
            None => client.open(&url.parse().unwrap()).await,
        };
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(error) if is_refused(&error) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            Err(error) => {
                tally.fail(kind, &error);
                continue;
            }
        };
        match connection.get(&url).await {
            Ok(answer) if answer.status == 200 => {
                tally.answered.fetch_add(1, Ordering::Relaxed);
                kept = matches!(kind, Kind::Kept).then_some(connection);
            }
            Ok(answer) => tally.fail(kind, &format!("{answer:?}").into()),
            Err(error) if is_unsent(&error) => {}
            // GOAWAY came between the look at the connection and the request.
            Err(error) if reused && is_closed(&error) => {}
            // The proxy has closed what was idle while the request came: sent again, as by every client (RFC 9112
            // §9.3.1), if the origin has not seen it, which is looked at in the end.
            Err(error) if reused && is_cut(&error) => {}
            Err(error) => tally.fail(kind, &error),
        }
        // Clients pause now and then, so that some connections are idle.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_refused(error: &BoxError) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Nothing of it was written, or the proxy has said that it did nothing with it (GOAWAY, RFC 9113 §6.8).
fn is_unsent(error: &BoxError) -> bool {
    let Some(error) = error.downcast_ref::<hyper::Error>() else {
        return false;
    };
    let source = std::error::Error::source(error).and_then(|e| e.downcast_ref::<h2::Error>());
    error.is_canceled()
        || source.is_some_and(|e| e.is_go_away() && e.reason() == Some(Reason::NO_ERROR))
}

/// The connection has ended before anything of the request was written.
fn is_closed(error: &BoxError) -> bool {
    let error = error.downcast_ref::<hyper::Error>();
    error.is_some_and(hyper::Error::is_closed)
}

fn is_cut(error: &BoxError) -> bool {
    let error = error.downcast_ref::<hyper::Error>();
    error.is_some_and(hyper::Error::is_incomplete_message)
}

impl Tally {
    fn fail(&self, kind: Kind, error: &BoxError) {
        let text = format!("{kind:?}: {error:?}");
        self.failed.lock().unwrap().push(text);
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

/// SIGTERM and a new process, again and again, while clients of every kind go on: connected or sent is served.
/// `RESTARTS=100` for more of them.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_fail_no_request() {
    let restarts = std::env::var("RESTARTS").map_or(10, |n| n.parse().expect("a number"));
    let (site, mut proxy) = usual().await;
    let tally = Arc::<Tally>::default();
    let mut workers = Vec::new();
    for (kind, path) in [
        (Kind::Fresh, "/echo"),
        (Kind::Kept, "/echo"),
        (Kind::Kept, "/late/30"),
        (Kind::Kept, "/slow/4/30"),
        (Kind::Kept, "/bytes/300000/1"),
    ] {
        for client in [proxy.client(), proxy.client().h2()] {
            for _ in 0..2 {
                let work = work(client.clone(), kind, site.url(path), tally.clone());
                workers.push(tokio::spawn(work));
            }
        }
    }
    for _ in 0..restarts {
        let before = tally.answered();
        let more = || (tally.answered() > before + 3 * workers.len()).then_some(());
        eventually("the load is on", SOON, more).await;
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.wait(SOON).await.code(), Some(0));
        proxy.start().await;
    }
    tally.over.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    let failed = tally.failed.lock().unwrap();
    println!(
        "{restarts} restarts, {} answers, {} failed",
        tally.answered(),
        failed.len()
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    // Nothing that was passed on is without its answer.
    assert_eq!(site.seen().len(), tally.answered());
}
