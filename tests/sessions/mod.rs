//! Sessions against servers with rules: rotation, reuse detection, crashes, dead ends.

mod capture;
mod crash;
mod deletions;
mod kinds;
mod login;
mod mirror;
mod oidc;
mod pace;
mod presigned;
mod refresh;
mod rejected;
mod replay;
mod rotating;
mod serial;
mod sigv4;
mod user_agent;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::support::{
    client::{Client, eventually},
    proxy::Proxy,
    rotating::Rotating,
};

/// Clients that ask for a URL over and over on kept connections, until they are told to stop.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    /// How many answers each client has had.
    answered: Vec<Arc<AtomicU64>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

#[derive(Default)]
pub struct Counts {
    good: AtomicU64,
    unauthorized: AtomicU64,
    other: AtomicU64,
    /// Requests without an answer.
    failed: AtomicU64,
}

impl Crowd {
    /// Every second one speaks HTTP/2.
    pub fn new(client: &Client, size: usize, url: &str) -> Self {
        let (stop, counts) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Counts::default()),
        );
        let answered: Vec<Arc<AtomicU64>> = (0..size).map(|_| Arc::default()).collect();
        let tasks = answered.iter().enumerate().map(|(number, answered)| {
            let client = if number % 2 == 0 {
                client.clone()
            } else {
                client.clone().h2()
            };
            let (stop, counts, answered) = (stop.clone(), counts.clone(), answered.clone());
            tokio::spawn(ask(client, url.to_owned(), stop, counts, answered))
        });
        let tasks = tasks.collect();
        Self {
            stop,
            counts,
            answered,
            tasks,
        }
    }

    /// Waits until every client has had so many more answers.
    pub async fn each_answered(&self, more: u64) {
        let read = |answered: &Arc<AtomicU64>| answered.load(Ordering::Relaxed);
        let before: Vec<u64> = self.answered.iter().map(read).collect();
        eventually("all clients are answered", Duration::from_secs(120), || {
            let mut now = before.iter().zip(&self.answered);
            now.all(|(before, answered)| read(answered) >= before + more)
                .then_some(())
        })
        .await;
    }

    pub async fn stop(self) -> Arc<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a client");
        }
        self.counts
    }
}

async fn ask(
    client: Client,
    url: String,
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    answered: Arc<AtomicU64>,
) {
    let uri: http::Uri = url.parse().expect("a URL");
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        if connection.is_none() {
            connection = client.open(&uri).await.ok();
        }
        let Some(open) = &mut connection else {
            counts.failed.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let counter = match open.get(&url).await.map(|answer| answer.status.as_u16()) {
            Ok(200) => &counts.good,
            Ok(401) => &counts.unauthorized,
            Ok(_) => &counts.other,
            Err(_) => {
                connection = None;
                &counts.failed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if connection.is_some() {
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Counts {
    pub fn all(&self) -> [u64; 4] {
        [&self.good, &self.unauthorized, &self.other, &self.failed]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

/// The session of a rotating site, as configuration.
pub fn cookie_session(host: &str, more: &str) -> String {
    format!(
        "[session.site]\nbind = [{{ host = \"{host}\" }}]\n{more}\n\
         [session.site.cookies]\nrequired = [\"sid\"]\n\n\
         [session.site.refresh]\nkind = \"none\"\n"
    )
}

/// What a person does once: export the browser's cookie, import it here.
pub fn import(proxy: &Proxy, site: &Rotating, host: &str) {
    let text = format!(
        "# Netscape HTTP Cookie File\n#HttpOnly_{host}\tFALSE\t/\tTRUE\t4102444800\tsid\t{}\n",
        site.newest()
    );
    let file = proxy.path().join("browser.txt");
    std::fs::write(&file, text).expect("write the cookies");
    let output = proxy.cli(&["import", "site", "--from", "cookies-txt", "browser.txt"]);
    assert!(output.status.success(), "{output:?}");
    std::fs::remove_file(file).expect("remove the cookies");
}
