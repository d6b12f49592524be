//! Sessions against servers with rules: rotation, reuse detection, crashes, dead ends.

mod crash;
mod kinds;
mod oidc;
mod refresh;
mod rejected;
mod replay;
mod rotating;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::support::{client::Client, proxy::Proxy, rotating::Rotating};

/// Clients that ask for a URL over and over on kept connections, until they are told to stop.
struct Crowd {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    good: AtomicU64,
    unauthorized: AtomicU64,
    other: AtomicU64,
    /// Requests without an answer.
    failed: AtomicU64,
}

impl Crowd {
    /// Every second one speaks HTTP/2.
    fn new(client: &Client, size: usize, url: &str) -> Self {
        let (stop, counts) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Counts::default()),
        );
        let tasks = (0..size).map(|number| {
            let client = if number % 2 == 0 {
                client.clone()
            } else {
                client.clone().h2()
            };
            tokio::spawn(ask(client, url.to_owned(), stop.clone(), counts.clone()))
        });
        let tasks = tasks.collect();
        Self {
            stop,
            counts,
            tasks,
        }
    }

    async fn stop(self) -> Arc<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a client");
        }
        self.counts
    }
}

async fn ask(client: Client, url: String, stop: Arc<AtomicBool>, counts: Arc<Counts>) {
    let uri: http::Uri = url.parse().expect("a URL");
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        if connection.is_none() {
            connection = client.open(&uri).await.ok();
        }
        let Some(open) = &mut connection else {
            counts.failed.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
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
    }
}

impl Counts {
    fn all(&self) -> [u64; 4] {
        [&self.good, &self.unauthorized, &self.other, &self.failed]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

/// The session of a rotating site, as configuration.
fn cookie_session(host: &str, more: &str) -> String {
    format!(
        "[session.site]\nbind = [{{ host = \"{host}\" }}]\n{more}\n\
         [session.site.cookies]\nrequired = [\"sid\"]\n\n\
         [session.site.refresh]\nkind = \"none\"\n"
    )
}

/// What a person does once: export the browser's cookie, import it here.
fn import(proxy: &Proxy, site: &Rotating, host: &str) {
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
