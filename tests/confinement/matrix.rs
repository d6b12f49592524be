//! Every combination of CONNECT, SNI and Host that can disagree, on first and reused connections, TLS and plain.

use std::collections::BTreeMap;

use http::{Request, Uri};

use crate::support::{
    canary::{canary, find},
    client::{Client, Parts},
    origin::{Origin, empty, origin},
    proxy::{Proxy, proxy},
    wire::{Wire, status},
};

const BOUND: &str = "app.example.test";
const OTHER: &str = "other.example.test";

/// What a cell came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// An answer of this status.
    Status(u16),
    /// No connection, no TLS, or no answer.
    Refused,
}

struct World {
    bound: Origin,
    other: Origin,
    proxy: Proxy,
    secret: String,
    outcomes: BTreeMap<String, Outcome>,
    /// Cells in which the credential is right.
    right: Vec<String>,
}

/// How one request names its host in HTTP/1.1: the target and the Host lines.
fn h1_heads(path: &str) -> Vec<(&'static str, String)> {
    let get = |target: String, hosts: &[&str]| {
        let hosts: String = hosts
            .iter()
            .map(|host| format!("Host: {host}\r\n"))
            .collect();
        format!("GET {target} HTTP/1.1\r\n{hosts}\r\n")
    };
    let own = path.to_owned();
    vec![
        ("bound", get(own.clone(), &[BOUND])),
        ("bound:443", get(own.clone(), &["app.example.test:443"])),
        ("upper", get(own.clone(), &["APP.Example.TEST"])),
        ("bound:444", get(own.clone(), &["app.example.test:444"])),
        ("other", get(own.clone(), &[OTHER])),
        ("twice", get(own.clone(), &[BOUND, OTHER])),
        ("twice-reversed", get(own.clone(), &[OTHER, BOUND])),
        (
            "joined",
            get(own.clone(), &["app.example.test, other.example.test"]),
        ),
        ("missing", get(own.clone(), &[])),
        (
            "userinfo",
            get(own.clone(), &["app.example.test@other.example.test"]),
        ),
        ("lookalike", get(own, &["app.example.test.evil.test"])),
        (
            "absolute-bound",
            get(format!("https://{BOUND}{path}"), &[BOUND]),
        ),
        (
            "absolute-other",
            get(format!("https://{OTHER}{path}"), &[OTHER]),
        ),
        (
            "absolute-bound-host-other",
            get(format!("https://{BOUND}{path}"), &[OTHER]),
        ),
        (
            "absolute-other-host-bound",
            get(format!("https://{OTHER}{path}"), &[BOUND]),
        ),
        (
            "absolute-plain",
            get(format!("http://{BOUND}{path}"), &[BOUND]),
        ),
    ]
}

/// The same in HTTP/2: `:authority`, and a Host beside it.
const H2_HEADS: [(&str, &str, Option<&str>); 9] = [
    ("bound", BOUND, None),
    ("bound:443", "app.example.test:443", None),
    ("upper", "APP.Example.TEST", None),
    ("bound:444", "app.example.test:444", None),
    ("other", OTHER, None),
    ("host-other", BOUND, Some(OTHER)),
    ("other-host-bound", OTHER, Some(BOUND)),
    ("host-bound", BOUND, Some(BOUND)),
    ("lookalike", "app.example.test.evil.test", None),
];

/// These name the bound host, and nothing else.
const EQUIVALENT: [&str; 5] = [
    "bound",
    "bound:443",
    "upper",
    "absolute-bound",
    "host-bound",
];

impl World {
    async fn new() -> Self {
        let secret = canary("matrix");
        let bound = origin(&[BOUND]).start().await;
        let other = origin(&[OTHER]).start().await;
        let mut builder = proxy()
            .site(&bound)
            .site(&other)
            .bearer("app", BOUND, &secret);
        // Everything that is not the bound origin leads to the recorder.
        for place in [
            "app.example.test:444",
            "app.example.test:80",
            "other.example.test:80",
            "app.example.test.evil.test:443",
            "xapp.example.test:443",
            "example.test:443",
            "sub.app.example.test:443",
        ] {
            builder = builder.resolve(place, other.address);
        }
        let proxy = builder.start().await;
        Self {
            bound,
            other,
            proxy,
            secret,
            outcomes: BTreeMap::new(),
            right: Vec::new(),
        }
    }

    fn client(&self) -> Client {
        self.proxy.client().credulous()
    }

    fn connects(&self) -> [(&'static str, String); 3] {
        [
            ("bound", format!("{BOUND}:443")),
            ("other", format!("{OTHER}:443")),
            // The very address of the bound origin is not the bound origin.
            ("ip", self.bound.address.to_string()),
        ]
    }

    fn note(&mut self, cell: String, right: bool, outcome: Outcome) {
        if right {
            self.right.push(cell.clone());
        }
        let before = self.outcomes.insert(cell.clone(), outcome);
        assert!(before.is_none(), "cell {cell} twice");
    }

    /// Cells in HTTP/1.1, for one CONNECT, SNI and TLS or not.
    async fn h1(&mut self, connect: (&str, &str), sni: Option<&str>, tls: bool) {
        let layer = if tls {
            format!("sni-{}", sni.unwrap_or("none"))
        } else {
            "plain".to_owned()
        };
        for reused in [false, true] {
            for (host, _) in h1_heads("/") {
                let cell = format!(
                    "h1/{}/{layer}/{host}/{}",
                    connect.0,
                    if reused { "reused" } else { "first" }
                );
                let path = format!("/echo/{cell}");
                let (_, head) = h1_heads(&path)
                    .into_iter()
                    .find(|(name, _)| *name == host)
                    .unwrap();
                let parts = Parts {
                    connect: connect.1.to_owned(),
                    sni: sni.map(str::to_owned),
                    tls,
                    h2: false,
                };
                let outcome = match self.client().stream(&parts).await {
                    Err(_) => Outcome::Refused,
                    Ok(stream) => {
                        let mut wire = Wire::new(stream);
                        if reused {
                            let own = if connect.0 == "other" { OTHER } else { BOUND };
                            wire.send(format!("GET /echo HTTP/1.1\r\nHost: {own}\r\n\r\n"))
                                .await;
                            wire.message().await;
                        }
                        wire.send(head).await;
                        match status(&wire.head().await) {
                            0 => Outcome::Refused,
                            status => Outcome::Status(status),
                        }
                    }
                };
                let right =
                    tls && connect.0 == "bound" && sni != Some(OTHER) && EQUIVALENT.contains(&host);
                self.note(cell, right, outcome);
            }
        }
    }

    /// Cells in HTTP/2 for one CONNECT and SNI: each host on stream 1 of a connection, and on a later one.
    async fn h2(&mut self, connect: (&str, &str), sni: Option<&str>) {
        let layer = format!("sni-{}", sni.unwrap_or("none"));
        for later in [false, true] {
            for (host, authority, field) in H2_HEADS {
                let cell = format!(
                    "h2/{}/{layer}/{host}/{}",
                    connect.0,
                    if later { "stream-n" } else { "stream-1" }
                );
                let parts = Parts {
                    connect: connect.1.to_owned(),
                    sni: sni.map(str::to_owned),
                    tls: true,
                    h2: true,
                };
                let outcome = match self.client().open_parts(&parts).await {
                    Err(_) => Outcome::Refused,
                    Ok(mut connection) => {
                        if later {
                            let own = if connect.0 == "other" { OTHER } else { BOUND };
                            let _ = connection.get(&format!("https://{own}/echo")).await;
                        }
                        let url: Uri = format!("https://{authority}/echo/{cell}").parse().unwrap();
                        let mut request = Request::get(url);
                        if let Some(field) = field {
                            request = request.header("host", field);
                        }
                        match connection.send(request.body(empty()).unwrap()).await {
                            Ok(response) => Outcome::Status(response.status().as_u16()),
                            Err(_) => Outcome::Refused,
                        }
                    }
                };
                let right =
                    connect.0 == "bound" && sni != Some(OTHER) && EQUIVALENT.contains(&host);
                self.note(cell, right, outcome);
            }
        }
    }

    /// Judges all cells together.
    fn judge(&self) {
        assert_eq!(
            find(&self.other.recorder.everything(), &self.secret),
            None,
            "the other host saw the credential"
        );
        for seen in self.bound.seen() {
            let held = find(&seen.text(), &self.secret).is_some();
            let Some(cell) = seen.path.strip_prefix("/echo/") else {
                continue;
            };
            assert!(
                !held || self.right.iter().any(|right| right == cell),
                "the credential in cell {cell}"
            );
        }
        for cell in &self.right {
            assert_eq!(self.outcomes[cell], Outcome::Status(200), "cell {cell}");
            let arrived = self.bound.seen().iter().any(|seen| {
                seen.path.strip_prefix("/echo/") == Some(cell)
                    && find(&seen.text(), &self.secret).is_some()
            });
            assert!(arrived, "no credential in cell {cell}");
        }
        // What contradicts the CONNECT to the bound host is refused, and with 421 where HTTP could be spoken.
        for (cell, outcome) in &self.outcomes {
            let parts: Vec<&str> = cell.split('/').collect();
            let [version, connect, layer, host, _] = parts[..] else {
                panic!("{cell}")
            };
            if connect != "bound" || layer == "plain" || self.right.contains(cell) {
                continue;
            }
            let expected: &[Outcome] = match (version, layer, host) {
                (_, "sni-other.example.test", _) => &[Outcome::Refused],
                (
                    _,
                    _,
                    "other" | "bound:444" | "lookalike" | "absolute-other" | "other-host-bound"
                    | "host-other",
                ) => &[Outcome::Status(421)],
                _ => &[Outcome::Status(421), Outcome::Status(400)],
            };
            assert!(
                expected.contains(outcome),
                "{cell}: {outcome:?}, not one of {expected:?}"
            );
        }
    }
}

/// Promise 1, T-CONF: at least 300 cells, a recorder at every other host, and the canary in none of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_credential_is_confined() {
    let mut world = World::new().await;
    for (name, connect) in world.connects() {
        for sni in [Some(BOUND), Some(OTHER), None] {
            world.h1((name, &connect), sni, true).await;
            world.h2((name, &connect), sni).await;
        }
        world.h1((name, &connect), None, false).await;
    }
    println!(
        "{} cells, {} of them right",
        world.outcomes.len(),
        world.right.len()
    );
    assert!(world.outcomes.len() >= 300);
    world.judge();
}

/// Names that look like the bound one, and its other ports, are other hosts.
#[tokio::test(flavor = "multi_thread")]
async fn lookalikes_are_other_hosts() {
    let world = World::new().await;
    for connect in [
        "app.example.test.evil.test:443",
        "xapp.example.test:443",
        "example.test:443",
        "sub.app.example.test:443",
        "app.example.test:444",
    ] {
        let host = connect.rsplit_once(':').unwrap().0;
        let parts = Parts {
            connect: connect.to_owned(),
            sni: Some(host.to_owned()),
            tls: true,
            h2: false,
        };
        let mut connection = world.client().open_parts(&parts).await.unwrap();
        connection
            .get(&format!("https://{connect}/echo"))
            .await
            .unwrap()
            .expect(200);
        let answer = connection.get(&format!("https://{BOUND}/echo")).await;
        drop(answer);
    }
    for url in [
        "http://app.example.test/echo",
        "http://other.example.test/echo",
    ] {
        // A TLS origin stands there: whatever comes of it, no credential is in it.
        let _ = world
            .client()
            .try_send(Request::get(url).body(empty()).unwrap())
            .await;
    }
    assert!(world.other.seen().len() >= 5);
    assert_eq!(
        find(&world.other.recorder.everything(), &world.secret),
        None
    );
}
