//! The choices that a provider offers: each marketplace, each kind of account, each region has hosts of its own.

use serde_json::{Value, json};

use super::{
    audible,
    lwa::Amazon,
    marketplace::{AUTH, Marketplace},
    now,
};
use crate::support::{
    origin::origin,
    proxy::{Proxy, proxy},
    tool,
};

/// The marketplaces by top-level domain, each with the code that the library has for it.
const MARKETS: [(&str, &str); 11] = [
    ("com", "us"),
    ("co.uk", "uk"),
    ("de", "de"),
    ("fr", "fr"),
    ("ca", "ca"),
    ("it", "it"),
    ("com.au", "au"),
    ("in", "in"),
    ("co.jp", "jp"),
    ("es", "es"),
    ("com.br", "br"),
];

fn session(tld: &str, accounts: &str) -> String {
    let values = format!("values = {{ tld = \"{tld}\", accounts = \"{accounts}\" }}");
    format!("{}{values}\n", audible::SESSION)
}

fn succeeds(proxy: &Proxy, arguments: &[&str]) {
    let output = proxy.cli(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// 2.7.2: for every marketplace and both kinds of accounts a stand-in is made, the real library has it for that
/// marketplace and for years to come, and an import agrees that it is for this session.
#[tokio::test(flavor = "multi_thread")]
async fn every_marketplace_has_a_standin() {
    let mut files = Vec::new();
    let mut expected = Vec::new();
    let homes: Vec<_> = MARKETS
        .iter()
        .flat_map(|market| ["amazon", "audible"].map(|accounts| (market, accounts)))
        .map(|((tld, code), accounts)| {
            let home = proxy().config(session(tld, accounts)).prepare();
            let export = ["export", "audible", "--to", "audible-standin", "in.json"];
            succeeds(&home, &export);
            let file = home.path().join("in.json");
            let text = std::fs::read_to_string(&file).unwrap();
            let said: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(said["locale_code"], *code);
            assert_eq!(said["with_username"], accounts == "audible");
            succeeds(
                &home,
                &["import", "audible", "--from", "audible", "in.json"],
            );
            files.push(file);
            expected.push(format!("{code} {tld} {}", accounts == "audible"));
            home
        })
        .collect();
    let script = "import sys, audible\n\
                  for name in sys.argv[1:]:\n\
                  \x20   auth = audible.Authenticator.from_file(name)\n\
                  \x20   known = auth.locale\n\
                  \x20   print(known.country_code, known.domain, auth.with_username, auth.expires)\n";
    let five_years = (now() + 5 * 365 * 86_400) as f64;
    // The oldest line knows nothing of Brazil, the last of them.
    for (line, known) in [("0.13", 22), ("0.10", 22), ("0.8", 20)] {
        let mut command = tool::clean(&audible::python(line), homes[0].path());
        command.args(["-c", script]).args(&files[..known]);
        let output = tool::succeed(command).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let loaded = text.lines().map(|loaded| loaded.rsplit_once(' ').unwrap());
        let (loaded, ends): (Vec<_>, Vec<_>) = loaded.unzip();
        let loaded: Vec<String> = loaded.into_iter().map(str::to_lowercase).collect();
        assert_eq!(loaded, expected[..known], "{line}");
        for end in ends {
            assert!(end.parse::<f64>().unwrap() > five_years, "{line}: {end}");
        }
    }
}

/// Accounts older than Amazon's, in another marketplace: signed there, and renewed at that host.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_audibles_lives_on_its_own_hosts() {
    let market = Marketplace::new();
    let hosts = ["api.audible.co.uk", "www.audible.co.uk"];
    let site = market.on(origin(&hosts)).start().await;
    let mut auth: Value = serde_json::from_str(AUTH).unwrap();
    auth["locale_code"] = json!("uk");
    auth["with_username"] = json!(true);
    let proxy = proxy()
        .site(&site)
        .config(session("co.uk", "audible"))
        .file("auth.json", &auth.to_string())
        .start()
        .await;
    succeeds(
        &proxy,
        &["import", "audible", "--from", "audible", "auth.json"],
    );
    market.with(|state| state.says = vec![(403, "Request could not be authenticated")]);
    for url in [
        "https://api.audible.co.uk/1.0/library",
        "https://api.audible.co.uk/user/profile",
        "https://www.audible.co.uk/companion-file/x",
    ] {
        proxy.client().get(url).await.expect(200);
    }
    assert_eq!(market.faults(), [""; 0]);
    market.with(|state| assert_eq!((state.asked.len(), state.forms.len()), (4, 1)));
}

/// The two other regions: the token of one host, put on requests to the other.
#[tokio::test(flavor = "multi_thread")]
async fn every_region_is_asked() {
    for (region, token, ads) in [
        ("eu", "api.amazon.co.uk", "advertising-api-eu.amazon.com"),
        ("fe", "api.amazon.co.jp", "advertising-api-fe.amazon.com"),
    ] {
        let amazon = Amazon::new(&["alice"]);
        let (lwa, site) = amazon.start_at(token, ads).await;
        let refresh = amazon.user("alice", |user| user.refresh.clone());
        let config = format!(
            "[session.ads]\nprovider = \"amazon-ads\"\n\
             values = {{ client_id = \"x\", region = \"{region}\" }}\n\
             secrets = {{ client_secret = \"env:SECRET\", refresh_token = \"env:REFRESH\" }}\n"
        );
        let proxy = proxy()
            .site(&lwa)
            .site(&site)
            .config(config)
            .env("SECRET", "the secret")
            .env("REFRESH", &refresh)
            .start()
            .await;
        let url = format!("https://{ads}/v2/profiles");
        let answer = proxy.client().get(&url).await.expect(200);
        assert_eq!(answer.json()["user"], "alice", "{region}");
        assert_eq!(amazon.calls("alice"), 1);
    }
}
