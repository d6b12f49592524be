//! `env`, `ca`, `provider`, `check` and `completions`.

use std::process::Command;

use super::{Said, program, say};
use crate::support::{
    proxy::{PROGRAM, Proxy, proxy},
    tool::{clean, find, output},
};

fn said(proxy: &Proxy, arguments: &[&str]) -> Said {
    proxy.cli(arguments).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_for_a_shell() {
    let mut proxy = proxy()
        .bearer("api", "api.example", "canary-of-env")
        .prepare();
    let alone = said(&proxy, &["env"]);
    assert!(
        alone.code == 1 || alone.err.contains("the proxy does not run"),
        "{}",
        alone.err
    );
    proxy.start().await;
    let lines = said(&proxy, &["env"]).good();
    assert!(!lines.contains("canary-of-env"), "{lines}");
    let script = format!(
        "TOKEN_API=t; export TOKEN_API; {lines}\necho \"$HTTPS_PROXY ${{TOKEN_API-none}}\"; cat \"$SSL_CERT_FILE\""
    );
    let output = output(Command::new("sh").args(["-c", &script]));
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        out.starts_with(&format!("http://{} none\n", proxy.listen)),
        "{out}"
    );
    let ca = std::fs::read_to_string(proxy.ca_path()).unwrap();
    let body = ca.lines().nth(1).unwrap();
    assert!(out.contains(body), "our CA is in the bundle");
    assert!(
        out.matches("BEGIN CERTIFICATE").count() > 1,
        "and the system's are, too"
    );
    let json = said(&proxy, &["env", "--json"]).json();
    assert_eq!(
        json["set"]["HTTPS_PROXY"],
        format!("http://{}", proxy.listen)
    );
    assert_eq!(json["unset"][0], "TOKEN_API");
}

#[test]
fn the_ca() {
    let proxy = proxy().prepare();
    let path = said(&proxy, &["ca", "path"]).good();
    assert_eq!(
        std::path::Path::new(path.trim_end()),
        proxy.ca_path().canonicalize().unwrap()
    );
    let pem = said(&proxy, &["ca", "print"]).good();
    assert_eq!(pem, std::fs::read_to_string(proxy.ca_path()).unwrap());
    said(&proxy, &["ca", "nothing"]).bad(2, &["unrecognized subcommand"]);
    let before = pem;
    let renewed = said(&proxy, &["ca", "renew"]).good();
    assert!(renewed.contains("ca.pem.old"), "{renewed}");
    assert_ne!(said(&proxy, &["ca", "print"]).good(), before);
}

#[test]
fn providers() {
    let proxy = proxy().file("a.txt", "").prepare();
    let folder = proxy.path().join("providers");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("mine.toml"),
        "bind = [{ host = \"a.example\" }]\n",
    )
    .unwrap();
    let list = said(&proxy, &["provider", "list", "--json"]).json();
    let names: Vec<_> = list["providers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["name"])
        .collect();
    assert!(names.contains(&&"mine".into()), "{names:?}");
    assert!(said(&proxy, &["provider", "list"]).good().contains("mine"));
    assert_eq!(
        said(&proxy, &["provider", "show", "mine"]).good(),
        "bind = [{ host = \"a.example\" }]\n"
    );
    said(&proxy, &["provider", "show", "nothing"])
        .bad(2, &["there is no provider nothing", "provider list"]);
}

#[test]
fn a_check_says_what_would_be_sent() {
    let proxy = proxy()
        .bearer("api", "api.example", "canary-of-check")
        .prepare();
    let right = said(&proxy, &["check"]).good();
    assert!(right.contains("is right: 1 session"), "{right}");
    let answer = said(&proxy, &["check", "https://api.example/v1", "--json"]).json();
    assert_eq!(
        (&answer["request"]["session"], &answer["valid"]),
        (&"api".into(), &true.into())
    );
    assert!(!answer.to_string().contains("canary-of-check"));
    let other = said(&proxy, &["check", "-X", "POST", "https://other.example/"]).good();
    assert!(!other.contains("authorization"), "{other}");
    // It makes nothing.
    assert!(!proxy.ca_path().exists() && !proxy.path().join("staysigned.db").exists());
}

/// `check URL`: which session, by which rule, and what would be sent, by name alone; in a snapshot for people, and as
/// JSON for programs.
#[test]
fn what_a_url_meets() {
    let proxy = proxy()
        .config(
            r#"
[clients.alice]
port = 8091
[clients.bob]
port = 8092

[session.api]
clients = ["alice"]
bind = [{ host = "api.example", path = "/v1/*", methods = ["GET", "POST"] }]
secrets = { token = "env:T", key = "env:K" }
[[session.api.inject]]
header = "authorization"
value = "Bearer {{ token }}"
[[session.api.inject]]
query = "key"
value = "{{ key }}"
mode = "if_missing"
[[session.api.block]]
match = { host = "api.example", path = "/v1/logout" }
[session.api.refresh]
kind = "none"

[session.site]
clients = ["*"]
bind = [{ host = "*.site.example" }]
[session.site.cookies]
required = ["sid"]
[[session.site.capture]]
match = { host = "auth.example", path = "/token", methods = ["POST"] }
answer = { access_token = { json = "/access_token" } }
[session.site.refresh]
kind = "none"
"#,
        )
        .env("T", "canary-one")
        .env("K", "canary-two")
        .prepare();
    let mut text = String::new();
    for (arguments, session) in [
        (
            &["--client", "alice", "https://api.example/v1/me?key=x"][..],
            "api",
        ),
        (&["--client", "bob", "https://api.example/v1/me"], ""),
        (
            &[
                "--client",
                "alice",
                "-X",
                "DELETE",
                "https://api.example/v1/me",
            ],
            "",
        ),
        (&["--client", "alice", "https://api.example/v2"], ""),
        (
            &["--client", "alice", "https://api.example/v1/%2e%2e/v2"],
            "",
        ),
        (
            &["--client", "alice", "https://api.example/v1/logout"],
            "api",
        ),
        (
            &[
                "--client",
                "alice",
                "https://api.example/v1/o?X-Amz-Signature=1",
            ],
            "api",
        ),
        (&["--client", "alice", "http://api.example/v1/me"], ""),
        (&["--client", "alice", "https://api.example:8443/v1/me"], ""),
        (&["--client", "bob", "https://www.site.example/"], "site"),
        (&["--client", "bob", "https://site.example/"], ""),
        (
            &[
                "--client",
                "bob",
                "-X",
                "POST",
                "https://auth.example/token",
            ],
            "",
        ),
        (&["--client", "bob", "https://other.example/"], ""),
    ] {
        let plain = said(&proxy, &[&["check"], arguments].concat()).good();
        let (_, about) = plain.split_once("\n\n").expect("what it is about");
        text.push_str(&format!("$ check {}\n{about}\n", arguments.join(" ")));
        let json = said(&proxy, &[&["check", "--json"], arguments].concat()).json();
        let named = json["request"]["session"].as_str().unwrap_or_default();
        assert_eq!(named, session, "{arguments:?}: {json}");
        assert!(!json.to_string().contains("canary"), "{json}");
    }
    assert!(!text.contains("canary"), "{text}");
    insta::with_settings!({
        snapshot_path => "../data/cli",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!("check", text) });
    let nobody = said(&proxy, &["check", "https://api.example/v1/me"]).good();
    assert!(nobody.contains("name a client with --client"), "{nobody}");
    for (arguments, words) in [
        (
            &["--client", "carol", "https://api.example/"][..],
            &["carol", "alice, bob"][..],
        ),
        (&["--client", "bob", "api.example"], &["not a URL", "hint:"]),
        (
            &["--client", "bob", "ftp://api.example/"],
            &["not a URL", "hint:"],
        ),
    ] {
        let said = said(&proxy, &[&["check"], arguments].concat());
        let all = format!("{}{}", said.out, said.err);
        assert_eq!(said.code, 2, "{arguments:?}: {all}");
        for word in words {
            assert!(all.contains(word), "no {word:?} in {all}");
        }
    }
}

#[test]
fn a_check_of_a_wrong_file_is_a_failure() {
    let wrong = proxy().key("unmatched = \"maybe\"").prepare();
    let said: Said = wrong.cli(&["check"]).into();
    assert_eq!(said.code, 2);
    assert!(
        said.out.contains("proxy.unmatched") && said.out.contains("hint:"),
        "{}",
        said.out
    );
}

#[test]
fn completions() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = say(program(folder.path(), &["completions", shell])).good();
        assert!(
            text.contains("staysigned") && text.contains("restore"),
            "{shell}"
        );
    }
    let script = say(program(folder.path(), &["completions", "bash"])).good();
    let output = output(Command::new("bash").args(["-n", "-c", &script]));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    say(program(folder.path(), &["completions", "cmd"])).bad(2, &["invalid value 'cmd'"]);
}

/// What bash makes of a line when the tabulator is pressed at its end.
#[test]
fn bash_completes() {
    const ASK: &str = "\
        eval \"$(\"$1\" completions bash)\"; shift\n\
        complete -p staysigned | grep -q -- '-F _staysigned' || exit 1\n\
        COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=()\n\
        _staysigned staysigned \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"\n\
        echo \"${COMPREPLY[*]}\"";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cookies.txt"), "").unwrap();
    let sessions =
        "[clients.alice]\nuid = 1\n[session.books]\nprovider = \"oreilly\"\nclients = [\"*\"]\n";
    std::fs::write(folder.path().join("config.toml"), sessions).unwrap();
    for (words, expected) in [
        (&["staysigned", "refresh", "bo"][..], "books"),
        (&["staysigned", "logout", "books", "--client", "a"], "alice"),
        (
            &["staysigned", "import", "books", "--from", "storage"],
            "storage-state",
        ),
        (
            &["staysigned", "import", "books", "--from", "fire"],
            "firefox",
        ),
        (&["staysigned", "export", "books", "--to", "he"], "header"),
        (&["staysigned", "provider", "show", "supa"], "supabase"),
        (&["staysigned", "st"], "status"),
        (&["staysigned", "--config", "cookies.txt", "ref"], "refresh"),
        (&["staysigned", "status", "--w"], "--watch"),
        (&["staysigned", "ca", "in"], "install"),
        (&["staysigned", "ca", "re"], "renew"),
        (&["staysigned", "provider", "sh"], "show"),
        (&["staysigned", "completions", "z"], "zsh"),
        (&["staysigned", "--config", "coo"], "cookies.txt"),
        (&["staysigned", "import", "site", "--do"], "--domain"),
        (&["staysigned", "nothing-of-this-name"], ""),
    ] {
        let mut command = clean(&find("bash"), folder.path());
        command.args(["--noprofile", "--norc", "-c", ASK, "bash", PROGRAM]);
        let said = say({
            command.args(words);
            command
        });
        assert_eq!(said.good().trim(), expected, "{words:?}");
    }
}
