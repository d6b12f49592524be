use super::*;
use crate::rule::RefreshKind;

/// Loads a text as `config.toml` of a folder of its own, which is gone afterwards.
fn loaded(text: &str) -> Result<Loaded, Diagnostics> {
    loaded_in(&tempfile::tempdir().unwrap(), text)
}

fn loaded_in(folder: &tempfile::TempDir, text: &str) -> Result<Loaded, Diagnostics> {
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let place = Place {
        path,
        found: Found::Option,
        notes: Vec::new(),
    };
    load(&place, &Variables::default())
}

fn errors(text: &str) -> Vec<String> {
    let errors = loaded(text).map(|_| ()).unwrap_err();
    let line = |d: &Diagnostic| {
        format!(
            "{}:{}: {}: {} | {}",
            d.line, d.column, d.key, d.message, d.hint
        )
    };
    errors.0.iter().map(line).collect()
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = loaded("").unwrap().config;
    let folder = config.file.parent().unwrap();
    assert_eq!(config.listen, [Listen::Tcp(([127, 0, 0, 1], 8080).into())]);
    assert_eq!(
        config.admin,
        Some(Listen::Tcp(([127, 0, 0, 1], 8081).into()))
    );
    assert_eq!(config.health, None);
    assert_eq!(config.state, folder.join(""));
    assert_eq!(
        config.store.url,
        store::Kind::Sqlite(folder.join("staysigned.db"))
    );
    assert_eq!(
        config.store.key,
        Source::File(folder.join("certs/store.key"))
    );
    assert_eq!(config.ca.dir, folder.join("certs"));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.log.level, "info");
}

#[test]
fn plain_keys_are_read() {
    let config = loaded(
        r#"
        [proxy]
        listen = ["127.0.0.1:0", "unix:proxy.sock", "0.0.0.0:9"]
        admin = "off"
        health = "0.0.0.0:8082"
        upstream_proxy = "socks5://127.0.0.1"
        resolve = { "API.example.com:443" = "127.0.0.1:8443" }
        local_users = "any"
        unmatched = "deny"
        state = "/var/lib/x"
        [store]
        url = "sqlite:a.db"
        key = "env:KEY"
        [limits]
        replay_body = "2 MiB"
        head_bytes = 4096
        response_head = "5m"
        [clients.alice]
        password = "env:ALICE"
        "#,
    )
    .unwrap()
    .config;
    assert_eq!(config.listen.len(), 3);
    assert_eq!(config.admin, None);
    assert_eq!(
        config.upstream_proxy,
        UpstreamProxy::Through(ProxyScheme::Socks5, "127.0.0.1:1080".parse().unwrap())
    );
    assert_eq!(
        config.resolve,
        BTreeMap::from([(
            ("api.example.com".parse().unwrap(), 443),
            ([127, 0, 0, 1], 8443).into()
        )])
    );
    assert_eq!(
        config.store.url,
        store::Kind::Sqlite("/var/lib/x/a.db".into())
    );
    assert_eq!(config.limits.replay_body, 2 << 20);
    assert_eq!(config.limits.head_bytes, 4096);
    assert_eq!(config.limits.response_head.unwrap().as_secs(), 300);
    assert_eq!(config.source_variables, ["ALICE", "KEY"]);
}

#[test]
fn all_faults_are_named_at_once() {
    assert_eq!(
        errors(
            "[proxy]\nlisten = \"localhost:1\"\nadmim = \"off\"\n[limits]\nfields = 0\n[prxy]\n"
        ),
        [
            "2:10: proxy.listen: an address is needed, not a name | write \"127.0.0.1:1\"",
            "3:1: proxy.admim: unknown key | did you mean `admin`?",
            "5:10: limits.fields: the number is out of range | from 1 to 10000000",
            "6:2: prxy: unknown key | did you mean `proxy`?",
        ]
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_masked() {
    let error = loaded("[store]\nkey = \"hunter2hunter2\" # was: swordfish\n").unwrap_err();
    let shown = error.to_string();
    assert!(shown.contains("key = …"), "{shown}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("swordfish"),
        "{shown}"
    );
}

#[test]
fn secrets_are_read_in_a_second_step() {
    let text = "[clients.a]\npassword = \"env:A\"\n[clients.b]\npassword = \"cmd:echo b\"\n";
    let variables: Variables = [("A", "alpha")].into_iter().collect();
    // The command runs in the folder.
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = loaded_in(&folder, text)
        .unwrap()
        .resolve_sources(&variables, Programs::Run, |_, _| false)
        .unwrap();
    let password = |n: usize| config.clients[n].password.clone().unwrap();
    assert_eq!(password(0).expose(), "alpha");
    assert_eq!(password(1).expose(), "b");

    let errors = loaded(text)
        .unwrap()
        .resolve_sources(&Variables::default(), Programs::Leave, |_, _| false)
        .unwrap_err();
    assert_eq!(errors.0.len(), 1);
    assert_eq!(errors.0[0].line, 2);
}

const APP: &str = r#"
[session.app]
bind = [{ host = "api.example.com", path = "/v1/*", methods = ["GET", "POST"] }, { host = "*.example.com" }]
user_agent = "tool/1"
values = { client_id = "me", realm = "na" }
secrets = { client_secret = "env:SECRET", refresh_token = "env:REFRESH" }
[[session.app.inject]]
header = "authorization"
value = "Bearer {{ access_token }}"
[session.app.cookies]
required = ["sid"]
expires = "{{ cookies['sid'] | jwt('/exp') }}"
[session.app.derive]
greeting = "{{ who | hex }}"
who = "{{ cookies['sid'] | url_decode | base64_decode | json('/user_id') }}"
[[session.app.rejected]]
status = [302]
location = "*/login*"
[[session.app.rejected]]
status = [200]
json = { "/credits" = 0 }
confirm = true
[session.app.refresh]
token_url = "https://{{ realm }}.example.com/oauth/token"
answer = { access_token = ["/data/token", "/token"] }
grace = "unlimited"
idle = "24h"
[[session.app.capture]]
match = { host = "auth.example.com", path = "/oauth/token", methods = ["POST"] }
answer = { access_token = { json = "/access_token" }, csrf = { regex = 'csrf="([^"]+)"' } }
[[session.app.block]]
match = { host = "auth.example.com", path = "/auth/deregister" }
"#;

#[test]
fn a_session_is_read() {
    let variables: Variables = [("SECRET", "s"), ("REFRESH", "r")].into_iter().collect();
    let (config, warnings) = loaded(APP)
        .unwrap()
        .resolve_sources(&variables, Programs::Run, |_, _| false)
        .unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let recipe = &config.recipes[0];
    assert_eq!(recipe.bind.len(), 2);
    let derived: Vec<_> = recipe
        .derive
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(derived, ["who", "greeting"]);
    let RefreshKind::Oauth2(oauth2) = &recipe.refresh.kind else {
        panic!("oauth2 is what no kind means")
    };
    assert_eq!(
        oauth2.token_url.origin.to_string(),
        "https://na.example.com:443"
    );
    assert_eq!(oauth2.token_url.path, "/oauth/token");
    let answer: Vec<_> = oauth2
        .answer
        .iter()
        .map(|(name, p)| (name.as_str(), p.len()))
        .collect();
    assert_eq!(
        answer,
        [("refresh_token", 1), ("expires_in", 1), ("access_token", 2)]
    );
    assert_eq!(recipe.refresh.grace, None);
    assert_eq!(recipe.secrets["client_secret"].expose(), "s");
    assert_eq!(recipe.seeds.iter().collect::<Vec<_>>(), ["refresh_token"]);
    assert_eq!(config.source_variables, ["REFRESH", "SECRET"]);
}

#[test]
fn what_the_store_holds_needs_no_source() {
    let variables: Variables = [("SECRET", "s")].into_iter().collect();
    let resolve = |held: bool| {
        loaded(APP)
            .unwrap()
            .resolve_sources(&variables, Programs::Run, |session, field| {
                held && session == "app" && field == "refresh_token"
            })
    };
    let (config, warnings) = resolve(true).unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(!config.recipes[0].secrets.contains_key("refresh_token"));
    assert!(resolve(false).is_err());
}

#[test]
fn a_secret_that_nothing_uses_is_warned_of() {
    let text = APP.replace(
        "refresh_token = \"env:REFRESH\"",
        "refrsh_token = \"env:REFRESH\"",
    );
    let variables: Variables = [("SECRET", "s"), ("REFRESH", "r")].into_iter().collect();
    let (_, warnings) = loaded(&text)
        .unwrap()
        .resolve_sources(&variables, Programs::Run, |_, _| false)
        .unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let text = warnings[0].to_string();
    assert!(
        text.contains("warning: session.app.secrets.refrsh_token"),
        "{text}"
    );
    assert_eq!(warnings[0].hint, "did you mean `refresh_token`?");
}

#[test]
fn a_store_key_that_cannot_be_read_has_its_place() {
    let loaded = loaded("[store]\nkey = \"env:NO_KEY\"\n").unwrap();
    let errors = loaded.store(&Variables::default()).unwrap_err();
    assert_eq!((errors.0[0].line, errors.0[0].column), (2, 7));
    let variables: Variables = [("NO_KEY", "x")].into_iter().collect();
    assert!(loaded.store(&variables).unwrap().key.is_some());
}

#[test]
fn changes_that_need_a_restart_are_named() {
    let config = |text: &str| loaded(text).unwrap().config;
    let before = Config {
        state: "/state".into(),
        ..config("[store]\nurl = \"memory:\"\nkey = \"env:KEY\"\n[ca]\ndir = \"/ca\"\n")
    };
    assert!(before.needs_restart(&before.clone()).is_empty());
    type Edit = fn(&mut Config);
    let cases: [(&str, Edit); 5] = [
        ("proxy.listen", |config| config.listen.clear()),
        ("proxy.admin", |config| config.admin = None),
        ("ca.dir", |config| config.ca.dir = "/other".into()),
        ("store.key", |config| {
            config.store.key = Source::Env("B".into())
        }),
        ("limits", |config| config.limits.fields += 1),
    ];
    for (key, change) in cases {
        let mut after = before.clone();
        change(&mut after);
        assert_eq!(before.needs_restart(&after), [key]);
    }
    let client = |name: &str, port| Client {
        name: name.into(),
        password: None,
        port,
        uid: None,
    };
    let with = |clients: &[Client]| Config {
        clients: clients.to_vec(),
        ..before.clone()
    };
    let (known, listening) = (client("a", None), client("b", Some(1)));
    let one = with(&[known.clone(), listening.clone()]);
    for (clients, expected) in [
        (vec![listening.clone()], false),
        (
            vec![client("c", None), listening.clone(), known.clone()],
            false,
        ),
        (vec![known.clone()], true),
        (vec![known.clone(), client("b", Some(2))], true),
        (vec![known, client("c", Some(1))], true),
        (vec![client("a", Some(3)), listening], true),
    ] {
        let needed = one.needs_restart(&with(&clients));
        assert_eq!(needed == ["clients.*.port"], expected, "{clients:?}");
        assert_eq!(needed.is_empty(), !expected);
    }
    let mut after = before.clone();
    after.unmatched = Unmatched::Deny;
    after.recipes = config(APP).recipes;
    assert!(before.needs_restart(&after).is_empty());
}
