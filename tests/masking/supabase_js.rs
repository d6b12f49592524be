//! The real `supabase-js` from npm, as it is, and plain curl: they log in, read, refresh by themselves, and never hold a
//! token.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use serde_json::Value;

use crate::support::{
    canary::assert_none,
    gotrue::Tokens,
    origin::Origin,
    project::{APIKEY, PROJECT, Project},
    proxy::{Proxy, proxy},
    seen,
    tool::{self, Way},
};

struct Bench {
    project: Project,
    site: Origin,
    proxy: Proxy,
}

impl Bench {
    async fn new(project: Project) -> Self {
        let site = project.site().start().await;
        let proxy = proxy().site(&site).config(format!(
            "[session.app]\nprovider = \"supabase\"\nvalues = {{ host = \"{PROJECT}\", apikey = \"{APIKEY}\" }}\n"
        ));
        Self {
            project,
            site,
            proxy: proxy.start().await,
        }
    }

    async fn js(&self, storage: &str, command: &[&str]) -> Value {
        let script = tool::script("node/supabase.mjs");
        let storage: PathBuf = self.proxy.path().join(storage);
        let url = self.site.url("");
        let mut arguments = vec![
            script.to_str().unwrap(),
            &url,
            APIKEY,
            storage.to_str().unwrap(),
        ];
        arguments.extend(command);
        let command = tool::through(&self.proxy, Way::Run, &tool::node(), &arguments);
        let output = tool::succeed(command).await;
        let text = String::from_utf8_lossy(&output.stdout);
        let answer = serde_json::from_str(text.trim());
        answer.unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Nothing that the client was given or has kept is real, and its stand-ins were seen by no origin.
    fn assert_masked(&self, storage: &str) {
        let issued = self.project.with(|state| state.rules.issued.clone());
        let kept = std::fs::read(self.proxy.path().join(storage)).expect("the storage");
        let text = String::from_utf8_lossy(&kept).into_owned();
        for token in &issued {
            // Of a JWT the claims stay; its signature is the secret.
            let secret = token.rsplit('.').next().unwrap();
            assert!(!text.contains(secret), "the storage holds a real token");
        }
        let kept: Value = serde_json::from_slice(&kept).expect("JSON");
        let session = kept["sb-abcdefghijklmnopqrst-auth-token"].as_str();
        let session: Value = serde_json::from_str(session.expect("a session")).expect("JSON");
        let seen = self.site.recorder.everything();
        for name in ["access_token", "refresh_token"] {
            let standin = session[name].as_str().expect("a stand-in");
            let secret = standin.rsplit('.').next().unwrap();
            assert_none("the origin", &seen, &[(name, secret)]);
        }
    }
}

fn claims(token: &Value) -> Value {
    let token = token.as_str().expect("a token");
    let parts: Vec<_> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "{token}");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap()
}

/// 3.4.9: its own calls of the token endpoint are exchanged, captured and masked; the JWT has the real `exp` and `sub`.
#[tokio::test(flavor = "multi_thread")]
async fn it_lives_on_stand_ins() {
    for tokens in [Tokens::First, Tokens::Second] {
        let project = Project::new();
        project.with(|state| {
            state.rules.tokens = tokens;
            state.rules.interval = std::time::Duration::ZERO;
        });
        let bench = Bench::new(project).await;
        let login = bench.js("storage.json", &["login"]).await;
        assert_eq!(login["rows"], 1);
        let session = &login["session"];
        let (user, sub) = (&session["user"], &claims(&session["access_token"])["sub"]);
        assert_eq!(user, sub);
        assert_eq!(
            claims(&session["access_token"])["exp"],
            session["expires_at"]
        );
        bench.assert_masked("storage.json");
        let refresh = session["refresh_token"].as_str().unwrap();
        if tokens == Tokens::First {
            assert!(refresh.len() == 12 && refresh.bytes().all(|b| b.is_ascii_alphanumeric()));
        }

        // Later, in another process, with what the first has kept; several times.
        for _ in 0..3 {
            let life = bench.js("storage.json", &["life"]).await;
            assert_eq!(&life["user"], user);
            assert_eq!(life["rows"], serde_json::json!([1, 1]));
            assert_ne!(
                life["refreshed"]["refresh_token"],
                life["session"]["refresh_token"]
            );
            bench.assert_masked("storage.json");
        }
        let counts = bench.project.with(|state| state.rules.counts);
        assert_eq!(
            (counts.families_revoked, counts.refused, counts.reused),
            (0, 0, 0)
        );
        assert_eq!(counts.granted, 3);
    }
    let what = "login, its own storage and its own refresh, on stand-ins";
    seen::saw(
        "`supabase`",
        "`supabase-js`",
        &seen::npm("@supabase/supabase-js"),
        what,
    );
}

/// Five processes that refresh at once with what one of them has kept, and one that comes late with it: one refresh, and
/// all live on.
#[tokio::test(flavor = "multi_thread")]
async fn processes_share_one_refresh() {
    let project = Project::new();
    project.with(|state| state.rules.interval = std::time::Duration::ZERO);
    let bench = Bench::new(project).await;
    bench.js("storage.json", &["login"]).await;
    let folder = bench.proxy.path();
    for number in 0..6 {
        let copy = folder.join(format!("{number}.json"));
        std::fs::copy(folder.join("storage.json"), copy).unwrap();
    }
    let names: Vec<_> = (0..5).map(|number| format!("{number}.json")).collect();
    let all = join_all(names.iter().map(|name| bench.js(name, &["refresh"]))).await;
    let late = bench.js("5.json", &["refresh"]).await;
    for one in all.iter().chain([&late]) {
        assert_eq!(
            one["session"]["refresh_token"],
            late["session"]["refresh_token"]
        );
    }
    let counts = bench.project.with(|state| state.rules.counts);
    assert_eq!((counts.granted, counts.families_revoked), (1, 0));
    for name in &names {
        bench.js(name, &["life"]).await;
    }
    let counts = bench.project.with(|state| state.rules.counts);
    assert_eq!((counts.refused, counts.families_revoked), (0, 0));
}

/// Two with an automatic refresh of their own (90 seconds ahead), beside one of ours: nobody is signed out.
#[tokio::test(flavor = "multi_thread")]
async fn its_own_refresh_and_ours() {
    let project = Project::new();
    project.with(|state| {
        state.rules.lifetime = 94;
        state.rules.interval = std::time::Duration::ZERO;
    });
    let bench = Bench::new(project).await;
    bench.js("storage.json", &["login"]).await;
    std::fs::copy(
        bench.proxy.path().join("storage.json"),
        bench.proxy.path().join("other.json"),
    )
    .unwrap();
    let (one, two, ours) = tokio::join!(
        bench.js("storage.json", &["auto", "12"]),
        bench.js("other.json", &["auto", "12"]),
        tool::run(bench.proxy.command(&["refresh", "app"])),
    );
    assert!(ours.status.success(), "{ours:?}");
    for life in [&one, &two] {
        assert!(life["count"].as_u64().unwrap() > 5, "{life}");
        let events = life["events"].to_string();
        assert!(!events.contains("SIGNED_OUT"), "{events}");
    }
    bench.assert_masked("storage.json");
    bench.assert_masked("other.json");
    let counts = bench.project.with(|state| state.rules.counts);
    assert_eq!((counts.refused, counts.families_revoked), (0, 0));
    assert!((3..=8).contains(&counts.granted), "{counts:?}");
}

/// Plain curl, as in the documentation of the API.
#[tokio::test(flavor = "multi_thread")]
async fn curl_does_the_same() {
    let bench = Bench::new(Project::new()).await;
    let key = format!("apikey: {APIKEY}");
    let curl = tool::find("curl");
    let ask = async |grant: &str, body: String| -> Value {
        let url = bench
            .site
            .url(&format!("/auth/v1/token?grant_type={grant}"));
        let json = "content-type: application/json";
        let arguments = ["-sS", "--fail", "-H", &key, "-H", json, "-d", &body, &url];
        let command = tool::through(&bench.proxy, Way::Variables, &curl, &arguments);
        serde_json::from_slice(&tool::succeed(command).await.stdout).expect("JSON")
    };
    let mut session = ask(
        "password",
        r#"{"email":"ann@example.test","password":"x"}"#.to_owned(),
    )
    .await;
    for _ in 0..3 {
        let body = serde_json::json!({ "refresh_token": session["refresh_token"] });
        session = ask("refresh_token", body.to_string()).await;
        let bearer = format!(
            "authorization: Bearer {}",
            session["access_token"].as_str().unwrap()
        );
        let url = bench.site.url("/rest/v1/todos");
        let arguments = ["-sS", "--fail", "-H", &key, "-H", &bearer, &url];
        tool::succeed(tool::through(
            &bench.proxy,
            Way::Variables,
            &curl,
            &arguments,
        ))
        .await;
    }
    for token in bench.project.with(|state| state.rules.issued.clone()) {
        let secret = token.rsplit('.').next().unwrap().to_owned();
        assert!(!session.to_string().contains(&secret));
    }
    assert_eq!(bench.project.with(|state| state.rules.counts.granted), 3);
    let what = "login and refresh, on stand-ins";
    seen::saw("`supabase`", "curl", &seen::installed("curl"), what);
}
