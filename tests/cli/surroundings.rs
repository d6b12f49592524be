//! `env`, `ca`, `provider`, `check` and `completions`.

use std::process::Command;

use super::{Said, program, say};
use crate::support::proxy::{Proxy, proxy};

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
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
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
    let wrong = crate::support::proxy::proxy()
        .key("unmatched = \"maybe\"")
        .prepare();
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
    let output = Command::new("bash")
        .args(["-n", "-c", &script])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    say(program(folder.path(), &["completions", "cmd"])).bad(2, &["invalid value 'cmd'"]);
}
