//! What visits cost: figures that docs/benchmarks.md gives, with the commands.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use http::{HeaderValue, header::CONNECTION};
use rustls::{ClientConfig, HandshakeKind, client::Resumption, pki_types::ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::support::{
    cost::{a_request, cpu_time, start},
    origin::{Origin, origin},
    pki::{crypto, roots},
    proxy::{Builder, Proxy, proxy},
    raw::read_head,
    routes,
};

const HOSTS: usize = 1_000;
const ROUNDS: usize = 5;
/// Connections at once.
const WIDTH: usize = 16;

fn host(number: usize) -> String {
    format!("h{number}.many.test")
}

async fn site() -> Origin {
    let site = origin(&["*.many.test"]).handler(|_| async { Ok(routes::text("in")) });
    site.alpn(&["http/1.1"]).start().await
}

/// One that ends its connection with each answer.
async fn brief_site() -> Origin {
    let site = origin(&["*.many.test"]).handler(|_| async {
        let mut answer = routes::text("in");
        answer
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(answer)
    });
    site.alpn(&["http/1.1"]).start().await
}

/// A proxy with a session for all hosts.
fn many(site: &Origin) -> Builder {
    let mut builder = proxy().memory().level("warn");
    for number in 0..HOSTS {
        builder = builder.resolve(&format!("{}:443", host(number)), site.address);
    }
    builder.bearer("many", "*.many.test", "a-token")
}

/// A client that keeps tickets, if it is to.
struct Visitor<'p> {
    proxy: &'p Proxy,
    tls: TlsConnector,
}

impl<'p> Visitor<'p> {
    fn new(proxy: &'p Proxy, resumes: bool) -> Self {
        let ca = std::fs::read_to_string(proxy.ca_path()).unwrap();
        let mut tls = ClientConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(&ca))
            .with_no_client_auth();
        tls.resumption = match resumes {
            true => Resumption::in_memory_sessions(8 * HOSTS),
            false => Resumption::disabled(),
        };
        let tls = TlsConnector::from(Arc::new(tls));
        Self { proxy, tls }
    }

    /// One connection with one request; tells whether the handshake was resumed.
    async fn visit(&self, host: &str) -> bool {
        let authority = format!("{host}:443");
        let tunnel = self.proxy.client().connect(&authority).await.unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut stream = self.tls.connect(name, tunnel).await.unwrap();
        let head = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let head = read_head(&mut stream).await.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Visits all hosts; returns the proxy's CPU time for each, and how many were resumed.
    async fn visit_all(&self) -> (Duration, usize) {
        let before = cpu_time(self.proxy.pid());
        let visits = stream::iter(0..HOSTS).map(async |number| self.visit(&host(number)).await);
        let resumed = visits
            .buffer_unordered(WIDTH)
            .filter(|resumed| std::future::ready(*resumed))
            .count()
            .await;
        let cost = (cpu_time(self.proxy.pid()) - before) / u32::try_from(HOSTS).unwrap();
        (cost, resumed)
    }
}

fn median(mut figures: Vec<Duration>) -> Duration {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

/// A first visit mints a leaf and reaches out to the origin; a later one does neither, or the latter alone if the
/// origin has ended its connection; and one with a ticket needs no signature.
///
/// `STAYSIGNED_PROGRAM=target/release/staysigned cargo test --test tests visits_are_cheap -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, of a release build: docs/benchmarks.md has the command"]
async fn visits_are_cheap() {
    let (site, brief) = (site().await, brief_site().await);
    let mut figures: [Vec<Duration>; 5] = Default::default();
    for _ in 0..ROUNDS {
        let proxy = start(many(&site)).await;
        let stranger = Visitor::new(&proxy, false);
        let (first, _) = stranger.visit_all().await;
        let (later, resumed) = stranger.visit_all().await;
        assert_eq!(resumed, 0);
        let guest = Visitor::new(&proxy, true);
        guest.visit_all().await;
        let (again, resumed) = guest.visit_all().await;
        // A client keeps what it is given: each of its second visits resumes.
        assert_eq!(resumed, HOSTS);
        let proxy = start(many(&brief)).await;
        let stranger = Visitor::new(&proxy, false);
        let (anew, _) = stranger.visit_all().await;
        let (connected, _) = stranger.visit_all().await;
        for (figures, figure) in figures
            .iter_mut()
            .zip([first, later, again, anew, connected])
        {
            figures.push(figure);
        }
    }
    let [first, later, again, anew, connected] = figures.map(median);
    println!("a first visit {first:?}, a later one {later:?}, a resumed one {again:?}");
    println!("where the origin ends each connection: {anew:?}, {connected:?}");
}

/// A thousand hosts that nobody has visited, all at once: whoever is there already does not wait for them.
///
/// `STAYSIGNED_PROGRAM=target/release/staysigned cargo test --test tests a_thousand_hosts_at_once -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, of a release build: docs/benchmarks.md has the command"]
async fn a_thousand_hosts_at_once() {
    let site = site().await;
    let proxy = start(many(&site)).await;
    let url = format!("https://{}/", host(0));
    let mut early = proxy.client().open(&url.parse().unwrap()).await.unwrap();
    early.get(&url).await.unwrap().expect(200);
    let visitor = Visitor::new(&proxy, false);
    let begun = Instant::now();
    let crowd = async {
        let visits = stream::iter(1..HOSTS).map(async |number| visitor.visit(&host(number)).await);
        visits.buffer_unordered(HOSTS).count().await;
        begun.elapsed()
    };
    let mut longest = Duration::ZERO;
    let mut asked = 0;
    let patient = async {
        loop {
            let sent = Instant::now();
            early.get(&url).await.unwrap().expect(200);
            longest = longest.max(sent.elapsed());
            asked += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let all = tokio::select! {
        all = crowd => all,
        () = patient => unreachable!("it asks for ever"),
    };
    println!(
        "{HOSTS} hosts in {all:?}; meanwhile {asked} requests of another, the longest {longest:?}"
    );
}

/// A request's CPU time with ten thousand sessions, beside that with one.
///
/// `STAYSIGNED_PROGRAM=target/release/staysigned cargo test --test tests ten_thousand_sessions -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, of a release build: docs/benchmarks.md has the command"]
async fn ten_thousand_sessions() {
    let site = site().await;
    let mut sections = String::new();
    for number in 0..10_000 {
        write!(
            sections,
            "[session.s{number}]\nbind = [{{ host = \"s{number}.example.com\" }}]\nsecrets = {{ token = \"env:TOKEN_MANY\" }}\n\
             [[session.s{number}.inject]]\nheader = \"authorization\"\nvalue = \"Bearer {{{{ token }}}}\"\n"
        )
        .unwrap();
    }
    let one = start(many(&site)).await;
    let all = start(many(&site).config(sections)).await;
    let url = format!("https://{}/", host(0));
    let mut figures: [Vec<Duration>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (figures, proxy) in figures.iter_mut().zip([&one, &all]) {
            figures.push(a_request(proxy, &url, 1_000).await);
        }
    }
    let [one, all] = figures.map(median);
    println!("a request with one session {one:?}, with 10,001 {all:?}");
}
