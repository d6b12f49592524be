//! `oreilly`: a downloader with an empty cookies.json lives on a session that rotates with every answer.

use std::{path::Path, process::Command};

use super::library::{Library, State, Trick};
use crate::support::{
    canary,
    origin::{Origin, origin},
    proxy::{Proxy, proxy},
    seen, tool,
};

const SESSION: &str = "[session.books]\nprovider = \"oreilly\"\n";

pub(super) async fn signed_in(library: &Library, more: &str) -> (Origin, Proxy) {
    let site = library.site().start().await;
    let proxy = proxy()
        .site(&site)
        .config(format!("{SESSION}{more}"))
        .start()
        .await;
    import(&proxy, library);
    (site, proxy)
}

fn import(proxy: &Proxy, library: &Library) {
    let arguments = [
        "import",
        "books",
        "--from",
        "json",
        "--domain",
        "oreilly.com",
    ];
    let output = proxy.cli_with(&arguments, &library.cookies_json());
    assert!(output.status.success(), "{output:?}");
}

/// A downloader in a folder of its own, with this cookies.json.
pub(super) fn downloader(
    proxy: &Proxy,
    name: &str,
    cookies: &str,
    books: [&str; 2],
    manner: &str,
) -> Command {
    let folder = proxy.path().join(name);
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("cookies.json"), cookies).expect("write");
    let script = tool::script("python/books.py");
    let [first, last] = books;
    let arguments = [script.to_str().unwrap(), first, last, manner, "."];
    let mut command = tool::through(proxy, tool::Way::Run, &tool::python(), &arguments);
    command
        .env("SSL_CERT_FILE", proxy.path().join("roots.pem"))
        .current_dir(folder);
    command
}

pub(super) fn whole(folder: &Path, books: std::ops::RangeInclusive<u32>) {
    for number in books {
        let text = std::fs::read_to_string(folder.join(format!("{number}.html"))).expect("a book");
        assert_eq!(text.matches("a whole chapter").count(), 2, "{number}");
    }
}

/// Every request carried exactly what the answer before it has set.
fn unharmed(state: &State) {
    assert!(state.behind.is_empty(), "{:?}", state.behind);
    assert!(state.reused.is_empty(), "{:?}", state.reused);
    assert!(state.faults.is_empty(), "{:?}", state.faults);
}

/// 1.3.1, 1.3.2, 1.3.3, 1.3.6, 1.3.7: fifty books, every answer rotates, reuse is detected; one stale cookie in the file.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_books_with_an_empty_cookies_json() {
    let library = Library::new();
    let styles = origin(&["cdn.third.example.test"]).start().await;
    library.with(|state| state.style = Some(styles.url("/echo/style.css")));
    let site = library.site().start().await;
    let proxy = proxy()
        .site(&site)
        .site(&styles)
        .config(SESSION)
        .start()
        .await;
    import(&proxy, &library);

    tool::succeed(downloader(&proxy, "one", "{}", ["1", "25"], "shared")).await;
    whole(&proxy.path().join("one"), 1..=25);
    let stale = "{\"orm-jwt\": \"STALE\", \"orm-rt\": \"STALE\"}";
    tool::succeed(downloader(&proxy, "two", stale, ["26", "50"], "each")).await;
    whole(&proxy.path().join("two"), 26..=50);

    let what = "a batch downloader with a `cookies.json`: fifty books, every answer rotates";
    let version = seen::python("requirements.txt", "requests");
    seen::saw("`oreilly`", "Python `requests`", &version, what);
    library.with(|state| {
        unharmed(state);
        assert!(state.values.len() > 50 * 5, "{}", state.values.len());
        assert_eq!(state.renewed, 0, "nothing had to be renewed");
    });
    // The third host, a tunnel, saw none of ours. What the tool's own file has goes there too: nobody can take it off, and it
    // is stale.
    let seen = styles.recorder.everything();
    let lasting = library.with(|state| state.lasting.clone());
    assert!(canary::find(&seen, &lasting).is_none());
    let seen = styles.seen();
    let cookies = seen.iter().filter_map(|seen| seen.field("cookie"));
    let cookies: Vec<&str> = cookies.flat_map(|line| line.split("; ")).collect();
    let stale = ["orm-jwt=STALE", "orm-rt=STALE"];
    assert!(
        cookies.iter().all(|pair| stale.contains(pair)),
        "{cookies:?}"
    );
    assert_eq!((seen.len(), cookies.len()), (50, 50), "of the second tool");
    // Nothing real is in the tools' files.
    for folder in ["one", "two"] {
        let kept = std::fs::read_to_string(proxy.path().join(folder).join("cookies.json")).unwrap();
        let real = library.with(|state| state.values.iter().any(|value| kept.contains(value)));
        assert!(!real, "{kept}");
    }
}

/// 1.3.3: with a lifetime in whole seconds, which Python's jar takes, a tool that keeps an old cookie has it sent to nobody.
#[tokio::test(flavor = "multi_thread")]
async fn whole_seconds_and_a_stale_cookie() {
    let library = Library::new();
    let (site, proxy) = signed_in(&library, "").await;
    let line = "orm-jwt={}; Max-Age=899; Domain=.oreilly.com; Path=/; Secure; HttpOnly";
    library.with(|state| state.set_cookie = line.to_owned());
    for (manner, books) in [("shared", ["1", "6"]), ("each", ["7", "12"])] {
        let stale = "{\"orm-jwt\": \"STALE\"}";
        tool::succeed(downloader(&proxy, manner, stale, books, manner)).await;
    }
    whole(&proxy.path().join("shared"), 1..=6);
    whole(&proxy.path().join("each"), 7..=12);
    library.with(|state| unharmed(state));
    for seen in site.seen() {
        let cookie = seen.field("cookie").unwrap_or_default();
        assert!(!cookie.contains("STALE"), "{cookie}");
    }
}

/// 1.3.2, its second half: what the last answer set is held after `kill -9`.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_rotation_survives_a_kill() {
    let library = Library::new();
    let (site, mut proxy) = signed_in(&library, "").await;
    for _ in 0..5 {
        proxy.client().get(&site.url("/profile/")).await.expect(200);
    }
    proxy.kill();
    proxy.start().await;
    proxy.client().get(&site.url("/profile/")).await.expect(200);
    library.with(|state| {
        unharmed(state);
        assert_eq!(state.values.len(), 7);
    });
}

/// 1.3.11: three downloaders at once.
#[tokio::test(flavor = "multi_thread")]
async fn three_downloaders_share_one_session() {
    let library = Library::new();
    let (_site, proxy) = signed_in(&library, "").await;
    let run = |name: &'static str, books, manner| {
        tool::succeed(downloader(&proxy, name, "{}", books, manner))
    };
    tokio::join!(
        run("a", ["1", "10"], "shared"),
        run("b", ["11", "20"], "each"),
        run("c", ["21", "30"], "shared"),
    );
    whole(&proxy.path().join("a"), 1..=10);
    whole(&proxy.path().join("b"), 11..=20);
    whole(&proxy.path().join("c"), 21..=30);
    library.with(|state| unharmed(state));
}

/// 1.3.7: what an answer sets is hidden from the client, or is shown to one that wants it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_is_hidden_or_shown() {
    let shown = "[session.books.cookies]\nset_cookie = \"pass\"\n";
    for (more, seen) in [("", false), (shown, true)] {
        let library = Library::new();
        let (site, proxy) = signed_in(&library, more).await;
        for _ in 0..3 {
            let answer = proxy.client().get(&site.url("/profile/")).await.expect(200);
            let newest = library.with(|state| state.values.last().unwrap().clone());
            let set = answer.field("set-cookie");
            assert_eq!(
                set.is_some_and(|set| set.contains(&newest)),
                seen,
                "{set:?}"
            );
            assert_eq!(set.is_some(), seen);
        }
        library.with(|state| unharmed(state));
    }
}

/// 1.3.8, 1.3.9, 1.3.10: what says "signed out" causes one renewal and one repetition, and is never passed on as a
/// chapter.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_say_signed_out_is_cured_once() {
    let tricks = [
        Trick::Unauthorized,
        Trick::Forbidden,
        Trick::ToLogin,
        Trick::LoginPage,
        Trick::Truncated,
    ];
    for trick in tricks {
        let library = Library::new();
        let (site, proxy) = signed_in(&library, "").await;
        let client = proxy.client();
        let url = site.url("/api/v2/epubs/urn:orm:book:1/files/1.html");
        library.with(|state| state.tricks = vec![("/files/", trick)]);
        let answer = client.get(&url).await.expect(200);
        assert!(answer.text().contains("a whole chapter"), "{trick:?}");
        library.with(|state| {
            let hits = state.asked.iter().filter(|path| path.contains("/files/"));
            assert_eq!((hits.count(), state.renewed), (2, 1), "{trick:?}");
            unharmed(state);
        });

        // Once more, after which there is nothing to be had: an error, and no beginning of a chapter.
        let after = Library::new();
        let (site, proxy) = signed_in(&after, "").await;
        after.with(|state| state.tricks = vec![("/files/", trick); 2]);
        let answer = proxy.client().get(&site.url("/files/1.html")).await;
        let expected = match trick {
            // A plain 401 is the upstream's to say.
            Trick::Unauthorized => 401,
            _ => 502,
        };
        assert_eq!(answer.status, expected, "{trick:?}");
        assert!(answer.field("proxy-status").is_some(), "{trick:?}");
        assert!(!answer.text().contains("It was a dark"), "{trick:?}");
    }
}

/// 1.3.10: HTML where the API answers with JSON is a rejection whatever it says; a chapter is HTML, and is none.
#[tokio::test(flavor = "multi_thread")]
async fn html_in_the_place_of_json_is_cured_once() {
    let pages = [Trick::Script, Trick::LoginPage, Trick::Truncated];
    let paths = [
        "/api/v1/book/1/",
        "/api/v1/book/1/chapter/?page=1",
        "/api/v1/book/1/chapter/ch01.html",
        "/api/v2/search/?query=html",
    ];
    for (path, trick) in paths
        .into_iter()
        .flat_map(|path| pages.map(|page| (path, page)))
    {
        let library = Library::new();
        let (site, proxy) = signed_in(&library, "").await;
        let what = format!("{path} {trick:?}");
        library.with(|state| state.tricks = vec![("/api/", trick)]);
        let answer = proxy.client().get(&site.url(path)).await.expect(200);
        assert!(answer.json().is_object(), "{what}");
        library.with(|state| {
            assert_eq!((state.asked.len(), state.renewed), (3, 1), "{what}");
            state.tricks = vec![("/api/", trick); 2];
        });
        let answer = proxy.client().get(&site.url(path)).await;
        assert_eq!(answer.status, 502, "{what}");
        library.with(|state| unharmed(state));
    }
    let library = Library::new();
    let (site, proxy) = signed_in(&library, "").await;
    for chapter in [
        "/api/v2/epubs/urn:orm:book:1/files/1.html",
        "/api/v1/book/1/chapter-content/ch01.html",
    ] {
        let answer = proxy.client().get(&site.url(chapter)).await.expect(200);
        assert!(answer.text().contains("a whole chapter"), "{chapter}");
    }
    // A tool whose parser would die of it gets its books.
    library.with(|state| {
        assert_eq!((state.asked.len(), state.renewed), (2, 0));
        state.tricks = vec![("/api/v1/book/2/", Trick::Script)];
    });
    tool::succeed(downloader(&proxy, "one", "{}", ["1", "3"], "shared")).await;
    whole(&proxy.path().join("one"), 1..=3);
    library.with(|state| {
        assert_eq!((state.renewed, state.tricks.len()), (1, 0));
        unharmed(state);
    });
}

/// 1.3.8, its second half: a dead session is an error that names what to do, before anything is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_session_fails_and_says_so() {
    let library = Library::new();
    let (site, proxy) = signed_in(&library, "").await;
    library.with(|state| {
        state.ended = true;
        state.lasting = "another".to_owned();
    });
    let first = proxy.client().get(&site.url("/profile/")).await;
    assert_eq!(first.status, 401, "the original answer");
    assert!(first.field("proxy-status").is_some());
    let second = proxy.client().get(&site.url("/profile/")).await;
    assert_eq!(second.status, 511);
    assert!(second.text().contains("staysigned "), "{}", second.text());
    let status = proxy.status("books");
    assert_eq!(status["state"], "needs_login");
}

/// 1.3.4, 1.3.5: odd cookies end or live as RFC 6265 says.
#[tokio::test(flavor = "multi_thread")]
async fn odd_cookies_are_no_trouble() {
    let library = Library::new();
    let (site, proxy) = signed_in(&library, "").await;
    // Name and value are 4 KiB, and a byte more.
    let long = format!("long={}\nlonger={}", "l".repeat(4092), "l".repeat(4091));
    let lines = "orm-jwt=old; Domain=.oreilly.com; Path=/\n\
            orm-jwt={}; Max-Age=899.5; Domain=.oreilly.com; Path=/; Secure\n\
            eq=a.b.c==; Path=/\nquoted=\"q q\"; Path=/\nempty=; Path=/\n\
            gone=1; Max-Age=0\nminus=1; Max-Age=-1\nexp=1; Max-Age=1e3\nhalf=1; Max-Age=.5\nnone=1; Max-Age=\n\
            both=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=99\n\
            over=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT\n\
            evil=1; Domain=.evil.com\ntop=1; Domain=com";
    library.with(|state| state.set_cookie = format!("{lines}\n{long}"));
    proxy.client().get(&site.url("/profile/")).await.expect(200);
    proxy.client().get(&site.url("/profile/")).await.expect(200);
    let last = site.last();
    let cookie = last.field("cookie").expect("cookies");
    let names: Vec<&str> = cookie
        .split("; ")
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, _)| name)
        .collect();
    for (name, there) in [
        ("eq", true),
        ("quoted", true),
        ("empty", true),
        ("gone", false),
        ("minus", false),
        ("exp", true),
        ("half", true),
        ("long", true),
        ("longer", false),
        ("none", true),
        ("both", true),
        ("over", false),
        ("evil", false),
        ("top", false),
    ] {
        assert_eq!(names.contains(&name), there, "{name}: {names:?}");
    }
    assert!(cookie.contains("eq=a.b.c==;") || cookie.ends_with("eq=a.b.c=="));
    library.with(|state| unharmed(state));
}
