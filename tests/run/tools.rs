//! Tools that read variables, each with and without a login at the proxy.

use std::fs;

use super::Place;

const URL: &str = "https://mock.example/file";
const SEEN: &str = "tls GET /file mock.example\n";

/// Runs the check in both kinds of place, off the runtime that the proxy needs.
async fn both(check: fn(&Place)) {
    for login in [false, true] {
        let place = Place::new(login).await;
        tokio::task::spawn_blocking(move || check(&place))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn curl() {
    both(|place| {
        assert_eq!(place.succeeds(&["curl", "-sS", URL]), SEEN);
        let plain = place.succeeds(&["curl", "-sS", "http://mock.example/a"]);
        assert_eq!(plain, "proxy GET http://mock.example/a mock.example\n");
    })
    .await;
}

#[tokio::test]
async fn wget() {
    both(|place| assert_eq!(place.succeeds(&["wget", "-qO-", URL]), SEEN)).await;
}

#[tokio::test]
async fn aria2c() {
    both(|place| {
        place.succeeds(&["aria2c", "-q", "-o", "got", URL]);
        let got = fs::read_to_string(place.home().join("got")).unwrap();
        assert!(got.starts_with("tls GET /file mock.example"), "{got}");
    })
    .await;
}

#[tokio::test]
async fn git() {
    both(|place| {
        // A configuration that would lead past the proxy, and trust nothing.
        fs::write(
            place.home().join(".gitconfig"),
            "[http]\nproxy = http://127.0.0.1:9\nsslCAInfo = /none\n",
        )
        .unwrap();
        let said = place.succeeds(&["git", "ls-remote", "https://mock.example/r.git"]);
        assert!(said.contains("refs/heads/tls"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn python() {
    both(|place| {
        let urllib = "import urllib.request, sys\n\
            print(urllib.request.urlopen(sys.argv[1]).read().decode(), end='')";
        assert_eq!(place.succeeds(&["python3", "-c", urllib, URL]), SEEN);
        let requests = "import requests, sys; print(requests.get(sys.argv[1]).text, end='')";
        assert_eq!(place.succeeds(&["python3", "-c", requests, URL]), SEEN);
    })
    .await;
}
