//! Turns of a serial session that do not come: a request that hangs at the origin, a client that leaves, a store that
//! cannot say whose turn it is.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};

use crate::support::{
    beside::beside,
    client::{Answer, Client, eventually},
    origin::{Builder, Origin},
    proxy::{Proxy, proxy},
    rotating::{Manner, Rotating},
    wait::{LIMIT, within},
};

use super::{cookie_session, import};

const HOST: &str = "site.example.test";

/// How long a request waits for its turn here: for as long a test stands still.
const WAIT: Duration = Duration::from_secs(10);

/// What a request is told whose turn does not come.
const BUSY: &str = "staysigned; error=connection_limit_reached; \
                    details=\"another request of this serial session takes too long\"";

/// What it is told where that cannot be known.
const UNREAD: &str =
    "staysigned; error=proxy_internal_error; details=\"the session's store cannot be read\"";

struct World {
    rotating: Rotating,
    site: Origin,
    proxy: Proxy,
    /// Lets `/hang` go.
    gate: Arc<Semaphore>,
}

impl World {
    async fn new() -> Self {
        let rotating = Rotating::new(Manner::Strict);
        let gate = Arc::new(Semaphore::new(0));
        let site = hanging(rotating.site(HOST), &gate).start().await;
        let limits = format!("[limits]\nserial_wait = \"{}s\"", WAIT.as_secs());
        let mut proxy = proxy()
            .site(&site)
            .config(cookie_session(HOST, "concurrency = \"serial\""))
            .config(limits)
            .prepare();
        import(&proxy, &rotating, HOST);
        proxy.start().await;
        Self {
            rotating,
            site,
            proxy,
            gate,
        }
    }

    fn asks(&self, client: &Client, path: &str) -> JoinHandle<Answer> {
        let (client, url) = (client.clone(), self.site.url(path));
        tokio::spawn(async move { client.get(&url).await })
    }

    /// Waits until so many requests have come to the session's queue, those that are through included.
    async fn asked(&self, requests: u64) {
        eventually("a request in the queue", LIMIT, || {
            let count = &self.proxy.status("site")["counters"]["requests"];
            (count.as_u64() >= Some(requests)).then_some(())
        })
        .await;
    }

    fn seen(&self) -> Vec<String> {
        let seen = self.site.seen();
        seen.iter().map(|seen| seen.path.clone()).collect()
    }
}

/// Holds what asks for `/hang` back until the gate opens.
fn hanging(site: Builder, gate: &Arc<Semaphore>) -> Builder {
    let gate = Arc::clone(gate);
    site.before(move |request| {
        let gate = Arc::clone(&gate);
        async move {
            if request.uri().path() == "/hang" {
                gate.acquire().await.expect("it is never closed").forget();
            }
            Err(request)
        }
    })
}

/// §8, `serial_wait`: a request hangs at the origin. Who waits behind it is told so in time, and why; who leaves, or was
/// told, has no place in the queue any more; and when the request comes to its end, the session goes on.
async fn who_waits_too_long(h2: bool) {
    let world = World::new().await;
    let client = || match h2 {
        true => world.proxy.client().h2(),
        false => world.proxy.client(),
    };
    let hangs = world.asks(&client(), "/hang");
    eventually("the first is under way", LIMIT, || {
        (world.seen() == ["/hang"]).then_some(())
    })
    .await;
    let began = Instant::now();
    let answer = within("an answer", world.asks(&client(), "/second")).await;
    let answer = answer.expect("the client lives").expect(503);
    assert!(began.elapsed() >= WAIT, "{:?}", began.elapsed());
    assert_eq!(answer.field("proxy-status"), Some(BUSY));
    assert!(
        answer.text().contains("serial session takes too long"),
        "{}",
        answer.text()
    );

    // One leaves, and one behind it waits on.
    let leaves = world.asks(&client(), "/leaves");
    world.asked(3).await;
    let waits = world.asks(&client(), "/waits");
    world.asked(4).await;
    leaves.abort();
    assert!(leaves.await.is_err(), "it left before its turn");
    // The proxy hears of it by the end of a connection.
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.gate.add_permits(1);
    for asked in [hangs, waits] {
        let answer = within("an answer", asked).await.expect("the client lives");
        answer.expect(200);
    }
    client().get(&world.site.url("/next")).await.expect(200);
    assert_eq!(world.seen(), ["/hang", "/waits", "/next"]);
    world.rotating.with(|state| {
        let harm = (state.ended, state.rejected, state.behind);
        assert_eq!(harm, (false, 0, 0));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_too_long_is_told_and_leaves_the_queue() {
    tokio::join!(who_waits_too_long(false), who_waits_too_long(true));
}

/// "Owned by one process at a time": a process that cannot have the turn sends nothing, whatever keeps it from that. An
/// older value than the other one has learnt would end the session.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_turn_nothing_is_sent() {
    let world = World::new().await;
    let first = world.proxy.client();
    first.get(&world.site.url("/one")).await.expect(200);
    let (_second, other) = beside(&world.proxy).await;
    let locks = world.proxy.path().join("staysigned.db.locks");
    let aside = world.proxy.path().join("aside");
    std::fs::rename(&locks, &aside).unwrap();
    // No lock can be had in what is no folder.
    std::fs::write(&locks, "").unwrap();
    for client in [other.clone(), other.clone().h2()] {
        let answer = within("an answer", client.get(&world.site.url("/two"))).await;
        let answer = answer.expect(503);
        assert_eq!(answer.field("proxy-status"), Some(UNREAD));
        assert!(answer.text().contains("hint"), "{}", answer.text());
    }
    assert_eq!(world.seen(), ["/one"]);
    std::fs::remove_file(&locks).unwrap();
    std::fs::rename(&aside, &locks).unwrap();
    for client in [other, first] {
        client.get(&world.site.url("/three")).await.expect(200);
    }
    assert_eq!(world.seen(), ["/one", "/three", "/three"]);
    world.rotating.with(|state| {
        let harm = (state.ended, state.rejected, state.behind);
        assert_eq!(harm, (false, 0, 0));
    });
}
