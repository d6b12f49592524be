//! The store's key is replaced while two proxies work with it, and whoever replaces it is killed at every call.

use std::time::Duration;

use crate::{
    sessions::{Crowd, cookie_session, import},
    support::{
        beside::beside,
        proxy::{PROGRAM, Proxy, proxy},
        rotating::{Manner, Rotating},
        strace::WRITES,
        tool,
    },
};

const HOST: &str = "site.example.test";
const COMMAND: Duration = Duration::from_secs(120);

/// More calls than one replacement makes.
const CALLS: usize = 400;

/// 5.4.11: whichever write is the last one, the store opens with the key that is in its place, and everybody goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_call_leaves_a_store_that_opens() {
    let rotating = Rotating::new(Manner::Strict);
    let site = rotating.site(HOST).start().await;
    let mut first = proxy()
        .site(&site)
        .config(cookie_session(HOST, "concurrency = \"serial\""))
        .level("info")
        .prepare();
    import(&first, &rotating, HOST);
    let old = std::fs::read_to_string(key_file(&first)).unwrap();
    first.start().await;
    let (second, client) = beside(&first).await;
    let crowds = [first.client(), client].map(|client| Crowd::new(&client, 2, &site.url("/")));
    let mut calls = 0;
    let mut keys = vec![old];
    loop {
        calls += 1;
        assert!(calls < CALLS, "no replacement came to its end");
        let ended = replaced(&first, calls);
        // Another process opens it, with whichever file has the key.
        let held = first.cli(&["export", "site", "--to", "header"]);
        assert!(held.status.success(), "{calls}: {held:?}");
        assert!(
            !first.path().join("certs/store.key.next").exists(),
            "{calls}"
        );
        let now = std::fs::read_to_string(key_file(&first)).unwrap();
        if keys.last() != Some(&now) {
            keys.push(now);
        }
        if ended {
            break;
        }
    }
    println!("killed at {} calls; {} keys", calls - 1, keys.len());
    assert!(calls > 10 && keys.len() > 2, "{calls} {}", keys.len());
    for crowd in &crowds {
        crowd.each_answered(5).await;
    }
    for crowd in crowds {
        let [good, unauthorized, other, failed] = crowd.stop().await.all();
        assert!(good > 0);
        assert_eq!((unauthorized, other, failed), (0, 0, 0));
    }
    drop(second);
    first.kill();
    // None of the old keys opens it; the file's does.
    let newest = keys.pop().unwrap();
    for old in keys {
        std::fs::write(key_file(&first), old).unwrap();
        let refused = first.cli(&["export", "site", "--to", "header"]);
        assert!(!refused.status.success(), "{refused:?}");
    }
    std::fs::write(key_file(&first), newest).unwrap();
    first.start().await;
    first.client().get(&site.url("/")).await.expect(200);
    rotating.with(|state| {
        assert_eq!((state.ended, state.rejected, state.behind), (false, 0, 0));
    });
}

fn key_file(proxy: &Proxy) -> std::path::PathBuf {
    proxy.path().join("certs/store.key")
}

/// Replaces the key; dies right before a thread makes so many calls that write. Says whether it came to its end.
fn replaced(proxy: &Proxy, calls: usize) -> bool {
    let command = proxy.command(&["key", "rotate"]);
    let mut traced = std::process::Command::new("strace");
    traced
        .args(["-qq", "-f", "-o", "/dev/null", "-e"])
        .arg(format!("inject={WRITES}:signal=KILL:when={calls}"))
        .arg(PROGRAM)
        .args(command.get_args())
        .current_dir(proxy.path());
    let output = tool::feed(traced, "", COMMAND);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !said.contains("error:") && !said.contains("panicked"),
        "{calls}: {said}"
    );
    output.status.success()
}
