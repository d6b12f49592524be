use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const ADDRESS: &str = "192.0.2.1:0";

fn names(resolve: Resolve) -> Arc<Names> {
    Arc::new(Names::by(resolve))
}

fn name(name: &str) -> HostName {
    name.parse().unwrap()
}

fn known() -> io::Result<Vec<SocketAddr>> {
    Ok(vec![ADDRESS.parse().unwrap()])
}

/// A resolver as the system's: it gives up by itself, long after everybody else.
async fn gives_up() -> io::Result<Vec<SocketAddr>> {
    tokio::time::sleep(Duration::from_secs(20)).await;
    Err(io::Error::other("try again"))
}

async fn asks(names: &Arc<Names>, who: &str) -> Result<usize, Kind> {
    let limit = Duration::from_secs(10);
    match timeout(limit, names.find(None, &name(who))).await {
        Ok(Ok(addresses)) => Ok(addresses.len()),
        Ok(Err(error)) => Err(error.kind()),
        Err(_) => Err(Kind::DnsTimeout),
    }
}

#[test]
fn families_take_turns() {
    let all = [
        "[2001:db8::1]:1",
        "[2001:db8::2]:1",
        "192.0.2.1:1",
        "[2001:db8::1]:1",
    ];
    let ordered = interleave(all.iter().map(|a| a.parse().unwrap()).collect());
    let expected = ["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1"];
    assert_eq!(*ordered, expected.map(|a| a.parse().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_once() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let names = names(|_| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            known()
        })
    });
    let all = (0..100).map(|_| asks(&names, "a.example"));
    let all = futures_util::future::join_all(all).await;
    assert_eq!(all, [Ok(1); 100]);
    assert_eq!(asks(&names, "a.example").await, Ok(1));
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    // What is known is nobody's question.
    let alice = Arc::from("alice");
    let found = names.find(Some(&alice), &name("a.example")).await;
    assert_eq!(found.unwrap().len(), 1);
    assert!(names.shares.lock().unwrap().is_empty());
    names.doubt(&name("a.example"));
    assert_eq!(asks(&names, "a.example").await, Ok(1));
    tokio::time::advance(FRESH).await;
    assert_eq!(asks(&names, "a.example").await, Ok(1));
    assert_eq!(ASKED.load(Ordering::Relaxed), 3);
}

/// What was known serves while nobody answers, but not for ever, and not when somebody says that it is gone.
#[tokio::test(start_paused = true)]
async fn silent_servers_take_nothing_that_was_known() {
    static STATE: AtomicUsize = AtomicUsize::new(0);
    let names = names(|_| {
        Box::pin(async {
            match STATE.load(Ordering::Relaxed) {
                0 => known(),
                1 => gives_up().await,
                _ => Err(io::Error::other("no such name")),
            }
        })
    });
    let silence = |how| STATE.store(how, Ordering::Relaxed);
    assert_eq!(asks(&names, "a.example").await, Ok(1));
    silence(1);
    for pause in [0, 31, 1, 25, 60, 3000] {
        tokio::time::advance(Duration::from_secs(pause)).await;
        let begun = Instant::now();
        assert_eq!(asks(&names, "a.example").await, Ok(1), "after {pause} s");
        assert!(begun.elapsed() <= PATIENCE, "after {pause} s");
    }
    assert_eq!(asks(&names, "b.example").await, Err(Kind::DnsTimeout));
    tokio::time::advance(STALE).await;
    assert_eq!(asks(&names, "a.example").await, Err(Kind::DnsTimeout));
    silence(0);
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(asks(&names, "a.example").await, Ok(1));
    silence(2);
    tokio::time::advance(FRESH).await;
    assert_eq!(asks(&names, "a.example").await, Err(Kind::Dns));
}

/// A question that broke off is asked again by whoever comes next.
#[tokio::test(start_paused = true)]
async fn a_resolver_that_panics_takes_one_question_along() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let names = names(|_| match ASKED.fetch_add(1, Ordering::Relaxed) {
        0 => Box::pin(async { panic!("on purpose") }),
        _ => Box::pin(async { known() }),
    });
    assert_eq!(asks(&names, "a.example").await, Err(Kind::Dns));
    assert_eq!(asks(&names, "a.example").await, Ok(1));
}

/// Who came while an older question was under way is not told its failure: the servers may be back.
#[tokio::test(start_paused = true)]
async fn few_wait_and_all_come_back() {
    static BACK: AtomicUsize = AtomicUsize::new(0);
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let names = names(|_| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            match BACK.load(Ordering::Relaxed) {
                0 => gives_up().await,
                _ => known(),
            }
        })
    });
    let hosts: Vec<_> = (0..1000).map(|n| format!("h{n}.example")).collect();
    let all = hosts.iter().map(|host| asks(&names, host));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(|one| *one == Err(Kind::DnsTimeout)));
    assert_eq!(ASKED.load(Ordering::Relaxed), QUESTIONS);
    // One more second, and the first questions are given up.
    tokio::time::advance(Duration::from_secs(9)).await;
    BACK.store(1, Ordering::Relaxed);
    let all = hosts.iter().map(|host| asks(&names, host));
    let all = futures_util::future::join_all(all).await;
    assert_eq!(all, [Ok(1); 1000]);
    assert!(names.held().asked.is_empty());
}

/// Who asks for many names that nobody answers for waits for them alone.
#[tokio::test(start_paused = true)]
async fn one_clients_silent_names_hold_up_no_other() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let names = names(|name| {
        Box::pin(async move {
            if name.as_str() == "good.example" {
                return known();
            }
            ASKED.fetch_add(1, Ordering::Relaxed);
            gives_up().await
        })
    });
    let crowd = |client: &'static str| {
        let (names, client) = (names.clone(), Arc::<str>::from(client));
        let ask = move |n: usize| {
            let (names, client) = (names.clone(), client.clone());
            async move {
                names
                    .find(Some(&client), &name(&format!("h{n}.{client}")))
                    .await
            }
        };
        tokio::spawn(futures_util::future::join_all((0..200).map(ask)))
    };
    let crowds = ["eve", "mallory"].map(crowd);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ASKED.load(Ordering::Relaxed), 2 * SHARE);
    let begun = Instant::now();
    let good = name("good.example");
    for client in [Some(Arc::from("alice")), None] {
        let found = names.find(client.as_ref(), &good).await;
        assert_eq!(found.unwrap().len(), 1);
        names.doubt(&good);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // What she knew serves her, too, at once.
    let mallory = Arc::from("mallory");
    let found = names.find(Some(&mallory), &good).await;
    assert_eq!(found.unwrap().len(), 1);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    crowds.iter().for_each(tokio::task::JoinHandle::abort);
}
