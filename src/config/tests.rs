use super::*;

/// Loads a text as `config.toml` of a folder of its own.
fn loaded(text: &str) -> Result<Loaded, Diagnostics> {
    let folder = tempfile::tempdir().unwrap();
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
        StoreUrl::Sqlite(folder.join("staysigned.db"))
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
    assert_eq!(config.store.url, StoreUrl::Sqlite("/var/lib/x/a.db".into()));
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
    let (config, _) = loaded(text)
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
