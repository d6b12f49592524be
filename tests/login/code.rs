//! By a browser that comes back with a code.

use std::io::Write as _;

use rustix::process::{Pid, Signal, kill_process};

use super::{HOST, Login, comes, consents, endpoint, holding, nothing_secret, site};
use crate::support::{
    LIMIT,
    authority::{Fault, session},
    client::{Client, eventually},
    ports,
    proxy::{Proxy, proxy},
};

/// What a session of the site answers, and by which generation it is known.
async fn works(proxy: &mut Proxy) -> u64 {
    if !proxy.running() {
        proxy.start().await;
    }
    let answer = proxy.client().get(&format!("https://{HOST}/echo/x")).await;
    assert_eq!(answer.status, 200);
    proxy.status("app")["generation"]
        .as_u64()
        .expect("a number")
}

/// 5.4.13: a code with PKCE at a loopback address, of a port that is free then; through the running proxy, which goes on
/// with it at once, and without one.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in() {
    for running in [true, false] {
        let (authority, origin, pair) = site().await;
        let login = format!(
            "{}\nscope = \"read write\"\nparams = {{ audience = \"a b\" }}",
            endpoint()
        );
        let mut proxy = holding(&origin, &pair, &login).prepare();
        if running {
            proxy.start().await;
        }
        let mut command = proxy.command(&["login", "app"]);
        command.env("STAYSIGNED_LOG", "trace,hyper=trace,rustls=trace,h2=trace");
        let mut signing_in = Login::start(command);
        let back = consents(&origin, &signing_in.address()).await;
        assert!(
            back.starts_with("http://127.0.0.1:") && !back.contains(":0/"),
            "{back}"
        );
        // What else browsers ask for.
        let icon = back.split("/?").next().unwrap().to_owned() + "/favicon.ico";
        comes(&icon).await.expect(404);
        let page = comes(&back).await.expect(200);
        assert!(page.text().contains("You are signed in"), "{}", page.text());
        assert_eq!(page.field("cache-control"), Some("no-store"));
        let said = signing_in.good();
        nothing_secret(&authority, &(said + page.text()));

        let asked = authority.consent().with(|state| state.asked.remove(0));
        assert_eq!(
            (&*asked["client_id"], &*asked["scope"], &*asked["audience"]),
            ("tests", "read write", "a b")
        );
        let exchange = authority.attempts().remove(0);
        assert_eq!(exchange.form["client_id"], "tests");
        assert!(!exchange.form.contains_key("client_secret"));
        works(&mut proxy).await;
        // Its own token, and not the one that the session began with.
        assert_eq!(authority.with(|oauth| oauth.counts.accepted), 1);
        authority.with(|oauth| assert!(!oauth.admit("none", std::time::Instant::now())));
        nothing_secret(&authority, &proxy.log());
        // And it is renewed with what came.
        let renewed = proxy.cli(&["refresh", "app"]);
        assert!(renewed.status.success(), "{renewed:?}");
        let spent = authority.attempts().pop().unwrap().form["refresh_token"].clone();
        assert_ne!(spent, pair.refresh);
    }
}

/// 5.4.13: an answer to another sign-in ends nothing and is worth nothing, whoever sends the browser with it.
#[tokio::test(flavor = "multi_thread")]
async fn another_state_is_not_ours() {
    let (authority, origin, pair) = site().await;
    let mut proxy = holding(&origin, &pair, &endpoint()).prepare();
    let mut signing_in = Login::of(&proxy, &["app"]);
    let back = consents(&origin, &signing_in.address()).await;
    let (place, query) = back.split_once('?').unwrap();
    let code = query
        .split('&')
        .find(|pair| pair.starts_with("code="))
        .unwrap();
    for query in [
        "",
        code,
        &format!("{code}&state=AAAAAAAAAAAAAAAAAAAAAA"),
        "error=access_denied",
    ] {
        let page = comes(&format!("{place}?{query}")).await.expect(400);
        assert!(page.text().contains("another sign-in"), "{}", page.text());
    }
    assert_eq!(authority.attempts().len(), 0);
    comes(&back).await.expect(200);
    let said = signing_in.good();
    let warnings = said.matches("its state is another").count();
    assert_eq!(warnings, 4, "{said}");
    works(&mut proxy).await;
}

/// 5.4.13: denied, refused, from another issuer, a code that was used, a client that is not known, a server in trouble:
/// each ends with what it was and what to do, and what the session held stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_changes_nothing() {
    let issuer = format!("{}\nissuer = \"https://{HOST}\"", endpoint());
    let cases: [(&str, fn(&crate::support::authority::Authority), &[&str]); 8] = [
        (
            "",
            |a| {
                a.consent()
                    .with(|state| state.error = Some("access_denied"))
            },
            &[
                "the consent was denied: access_denied",
                "hint: sign in again",
            ],
        ),
        (
            "",
            |a| {
                a.consent()
                    .with(|state| state.error = Some("invalid_scope"))
            },
            &["refuses: invalid_scope", "hint: are client_id, login.scope"],
        ),
        (
            &issuer,
            |a| {
                a.consent()
                    .with(|state| state.issuer = Some("https://evil.example"))
            },
            &["its issuer is not the configured one", "login.issuer"],
        ),
        (&issuer, |_| {}, &["its issuer is not the configured one"]),
        (
            "",
            |a| a.consent().with(|state| state.spent = true),
            &[
                "does not take the code: invalid_grant",
                "a code is good once",
            ],
        ),
        (
            "",
            |a| a.fail_with([Fault::Error(401, "invalid_client")]),
            &[
                "refuses the client: invalid_client",
                "correct values.client_id",
            ],
        ),
        (
            "",
            |a| a.fail_with([Fault::Html]),
            &[
                "not a token answer",
                "are the endpoints of [session.app] right?",
            ],
        ),
        (
            "",
            |a| a.fail_with([Fault::ResetAfterCommit]),
            &[
                "no answer from the token endpoint",
                "reached from here, sign in again",
            ],
        ),
    ];
    for (login, fails, words) in cases {
        let (authority, origin, pair) = site().await;
        let login = if login.is_empty() {
            endpoint()
        } else {
            login.to_owned()
        };
        let mut proxy = holding(&origin, &pair, &login).prepare();
        let before = works(&mut proxy).await;
        fails(&authority);
        let mut signing_in = Login::of(&proxy, &["app"]);
        let back = consents(&origin, &signing_in.address()).await;
        let page = comes(&back).await.expect(400);
        assert!(page.text().contains("not signed in"), "{}", page.text());
        let said = signing_in.bad(1, words);
        assert!(said.contains("nobody was signed in"), "{said}");
        if authority.consent().with(|state| !state.secrets.is_empty()) {
            nothing_secret(&authority, &said);
        }
        assert_eq!(works(&mut proxy).await, before, "{words:?}");
    }
}

/// RFC 9207: the issuer that is named is the configured one.
#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_is_checked() {
    let (authority, origin, pair) = site().await;
    authority
        .consent()
        .with(|state| state.issuer = Some("https://auth.example"));
    let login = format!("{}\nissuer = \"https://{HOST}\"", endpoint());
    let proxy = holding(&origin, &pair, &login).prepare();
    let mut signing_in = Login::of(&proxy, &["app"]);
    let back = consents(&origin, &signing_in.address()).await;
    comes(&back).await.expect(200);
    signing_in.good();
}

/// 5.4.13: a port that was registered and is taken is said before anybody signs in; one that is free is listened at.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_ones_own() {
    let (_authority, origin, pair) = site().await;
    let place = ports::free();
    let login = format!(
        "{}\nredirect_uri = \"http://localhost:{}/cb?x=1\"",
        endpoint(),
        place.port()
    );
    let proxy = holding(&origin, &pair, &login).prepare();
    let taken = std::net::TcpListener::bind(place).unwrap();
    let port = format!("another program listens on port {}", place.port());
    Login::of(&proxy, &["app"]).bad(
        1,
        &[
            "cannot listen for the browser",
            &port,
            "login.redirect_uri",
            "--paste",
        ],
    );
    drop(taken);
    let mut signing_in = Login::of(&proxy, &["app"]);
    let back = consents(&origin, &signing_in.address()).await;
    assert!(
        back.starts_with(&format!("http://localhost:{}/cb?x=1&state=", place.port())),
        "{back}"
    );
    comes(&back).await.expect(200);
    signing_in.good();
}

/// A browser on another machine, or a redirection that is not to this one: its address is pasted.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_pasted() {
    let elsewhere = format!("{}\nredirect_uri = \"https://www.example/cb\"", endpoint());
    for (login, arguments, to) in [
        (endpoint(), &["app", "--paste"][..], "http://127.0.0.1:9/?"),
        (elsewhere, &["app"], "https://www.example/cb?"),
    ] {
        let (authority, origin, pair) = site().await;
        let proxy = holding(&origin, &pair, &login).prepare();
        let mut signing_in = Login::of(&proxy, arguments);
        let back = consents(&origin, &signing_in.address()).await;
        assert!(back.starts_with(to), "{back}");
        writeln!(signing_in.process.stdin.take().unwrap(), "{back}").unwrap();
        let said = signing_in.good();
        nothing_secret(&authority, &said);

        for (text, why) in [
            ("", "nothing was pasted"),
            ("https://www.example/cb?code=x", "its state is another"),
        ] {
            let mut signing_in = Login::of(&proxy, arguments);
            signing_in.address();
            writeln!(signing_in.process.stdin.take().unwrap(), "{text}").unwrap();
            signing_in.bad(1, &[why]);
        }
    }
}

/// The desktop's browser is given an address that is good once and leads on: what others see in the list of processes is
/// of no use after that.
#[tokio::test(flavor = "multi_thread")]
async fn the_desktops_browser_is_opened() {
    let (_authority, origin, pair) = site().await;
    let opener = "#!/bin/sh\nprintf '%s %s' \"$1\" \"${REFRESH-none}\" > opened.new && mv opened.new opened\n";
    let proxy = holding(&origin, &pair, &endpoint())
        .file("xdg-open", opener)
        .prepare();
    let program = proxy.path().join("xdg-open");
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let mut command = proxy.command(&["login", "app", "--open"]);
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", proxy.path().display()));
    let mut signing_in = Login::start(command);
    let printed = signing_in.address();
    let opened = eventually("the browser is opened", LIMIT, || {
        std::fs::read_to_string(proxy.path().join("opened")).ok()
    });
    let opened = opened.await;
    let (address, inherited) = opened.split_once(' ').unwrap();
    assert_eq!(inherited, "none");
    assert!(
        address.starts_with("http://127.0.0.1:") && !address.contains("state"),
        "{address}"
    );
    let first = comes(address).await.expect(302);
    assert_eq!(first.field("location"), Some(&*printed));
    comes(address).await.expect(410);
    let back = consents(&origin, &printed).await;
    comes(&back).await.expect(200);
    signing_in.good();
    let command = proxy.command(&["login", "app", "--open", "--paste"]);
    Login::start(command).bad(2, &["leave --open out"]);
}

/// ^C ends it, and nothing has happened.
#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_broken_off() {
    let (authority, origin, pair) = site().await;
    let proxy = holding(&origin, &pair, &endpoint()).prepare();
    let mut signing_in = Login::of(&proxy, &["app"]);
    signing_in.address();
    let pid = signing_in
        .process
        .id()
        .try_into()
        .ok()
        .and_then(Pid::from_raw);
    kill_process(pid.unwrap(), Signal::INT).unwrap();
    signing_in.bad(130, &["nothing was changed"]);
    assert_eq!(authority.attempts().len(), 0);
}

/// Codes are exchanged by the way out that refreshes have: here another proxy, which alone knows where the site is.
#[tokio::test(flavor = "multi_thread")]
async fn the_way_out_is_that_of_refreshes() {
    let (_authority, origin, pair) = site().await;
    let way_out = proxy().site(&origin).start().await;
    let config = format!(
        "{}\n[session.app.login]\n{}\n",
        session("app", HOST, ""),
        endpoint()
    );
    let proxy = proxy()
        .config(config)
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
        .prepare();
    let through = format!("upstream_proxy = \"{}\"", way_out.url());
    proxy.edit(|text| text.replace("upstream_proxy = \"none\"", &through));
    let mut signing_in = Login::of(&proxy, &["app"]);
    let back = consents(&origin, &signing_in.address()).await;
    comes(&back).await.expect(200);
    signing_in.good();
}

/// With a grant for each client, one signs in for one, and nobody else has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_signs_in_for_itself() {
    let (authority, origin, pair) = site().await;
    let clients = "[clients.ann]\nport = PORT\n[clients.bob]\nuid = 4711\n";
    let place = ports::free();
    let mut proxy = holding(&origin, &pair, &endpoint())
        .config(clients.replace("PORT", &place.port().to_string()))
        .prepare();
    proxy.edit(|text| {
        let alone = "access_token = \"env:ACCESS\", refresh_token = \"env:REFRESH\"";
        let text = text.replace(&format!("secrets = {{ {alone} }}"), "");
        text.replace(
            "[session.app]\n",
            "[session.app]\nclients = [\"*\"]\nper_client = true\n",
        )
    });
    Login::of(&proxy, &["app"]).bad(2, &["name the client: --client CLIENT"]);
    proxy.start().await;
    let mut signing_in = Login::of(&proxy, &["app", "--client", "ann"]);
    let back = consents(&origin, &signing_in.address()).await;
    comes(&back).await.expect(200);
    signing_in.good();
    let ca = std::fs::read_to_string(proxy.ca_path()).unwrap();
    let ann = Client::proxied(place, &ca);
    ann.get(&format!("https://{HOST}/echo/x")).await.expect(200);
    let output = proxy.cli(&["status", "app", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sessions = status["sessions"].as_array().unwrap();
    // Bob, who has nothing, is not told of yet.
    let [ann] = &sessions[..] else {
        panic!("{status}");
    };
    assert_eq!(
        (&ann["client"], &ann["state"]),
        (&"ann".into(), &"fresh".into())
    );
    assert_eq!(authority.with(|oauth| oauth.counts.accepted), 1);
}
