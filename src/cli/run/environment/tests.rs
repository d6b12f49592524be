//! Which variables come out of which, as tables.

use std::slice;

use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;

use super::*;

struct Given {
    outside: TempDir,
    folder: Folder,
    ca: CertificateDer<'static>,
    roots: Vec<CertificateDer<'static>>,
    inherited: Vars,
    bound: Vec<HostPattern>,
    sources: Vec<String>,
    login: Option<(&'static str, Secret)>,
}

impl Given {
    fn new() -> Self {
        Self {
            outside: TempDir::new().unwrap(),
            folder: Folder::temporary().unwrap(),
            ca: CertificateDer::from(vec![9; 90]),
            roots: vec![
                CertificateDer::from(vec![1; 10]),
                CertificateDer::from(vec![2; 20]),
            ],
            inherited: Vars::new(),
            bound: Vec::new(),
            sources: Vec::new(),
            login: None,
        }
    }

    fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.inherited.insert(name.into(), value.into());
        self
    }

    /// Writes a bundle outside and names it in a variable.
    fn with_bundle(self, name: &str, certificate: &CertificateDer<'static>) -> Self {
        let path = self.outside.path().join(name);
        fs::write(&path, bundle::pem(&[certificate])).unwrap();
        self.with(name, path)
    }

    fn make(&self) -> Environment {
        Environment::new(&Params {
            inherited: &self.inherited,
            proxy: "0.0.0.0:8080".parse().unwrap(),
            login: self
                .login
                .as_ref()
                .map(|(name, password)| (*name, password)),
            ca: &self.ca,
            roots: &self.roots,
            bound: &self.bound,
            sources: &self.sources,
            folder: &self.folder,
        })
        .unwrap()
    }
}

impl Environment {
    fn text(&self, name: &str) -> &str {
        let value = self.set.get(OsStr::new(name));
        value
            .unwrap_or_else(|| panic!("{name} is not set"))
            .to_str()
            .unwrap()
    }

    fn certificates(&self, name: &str) -> Vec<CertificateDer<'static>> {
        let read = CertificateDer::pem_file_iter(self.text(name)).unwrap();
        read.collect::<Result<_, _>>().unwrap()
    }
}

#[test]
fn every_tool_gets_its_variables() {
    let given = Given::new();
    let made = given.make();
    for name in PROXY {
        assert_eq!(made.text(name), "http://127.0.0.1:8080", "{name}");
    }
    for name in ["NO_PROXY", "no_proxy"] {
        assert_eq!(made.text(name), "localhost,127.0.0.1,::1");
    }
    let whole = [&given.roots[..], slice::from_ref(&given.ca)].concat();
    for name in BUNDLE {
        assert_eq!(made.certificates(name), whole, "{name}");
    }
    for name in EXTRA {
        assert_eq!(
            made.certificates(name),
            slice::from_ref(&given.ca),
            "{name}"
        );
    }
    assert_eq!(made.text("NODE_USE_ENV_PROXY"), "1");
    let wgetrc = fs::read_to_string(made.text("SYSTEM_WGETRC")).unwrap();
    let line = format!("\nca_certificate = {}\n", made.text("SSL_CERT_FILE"));
    assert!(wgetrc.ends_with(&line), "{wgetrc}");
    let java = made.text("JAVA_TOOL_OPTIONS");
    for option in [
        "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=8080",
        "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8080",
        "-Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]",
        "-Djavax.net.ssl.trustStoreType=JKS",
    ] {
        assert!(java.contains(option), "{option}: {java}");
    }
    assert!(made.notes.is_empty() && made.unset.is_empty());
    for name in TOOLS_PROXY.iter().chain(&TOOLS_NO_PROXY) {
        assert!(!made.set.contains_key(OsStr::new(name)), "{name}");
    }
}

#[test]
fn what_would_lead_past_the_proxy_does_not() {
    let mut given = Given::new()
        .with("HTTPS_PROXY", "http://other:1")
        .with("https_proxy", "")
        .with("NO_PROXY", "*,intranet")
        .with("no_proxy", "api.example.com,intranet,.corp")
        .with("PIP_PROXY", "http://other:1")
        .with("npm_config_noproxy", "example.com")
        .with("GIT_CONFIG_COUNT", "2");
    given.bound = vec![HostPattern::Exact("api.example.com".parse().unwrap())];
    let made = given.make();
    for name in [
        "HTTPS_PROXY",
        "https_proxy",
        "PIP_PROXY",
        "GIT_CONFIG_VALUE_2",
    ] {
        assert_eq!(made.text(name), "http://127.0.0.1:8080", "{name}");
    }
    assert_eq!(made.text("GIT_CONFIG_COUNT"), "3");
    assert_eq!(made.text("GIT_CONFIG_KEY_2"), "http.proxy");
    for name in ["NO_PROXY", "no_proxy", "npm_config_noproxy"] {
        assert_eq!(
            made.text(name),
            "localhost,127.0.0.1,::1,intranet,.corp",
            "{name}"
        );
    }
    assert!(made.text("JAVA_TOOL_OPTIONS").contains("|intranet|*.corp"));
    let dropped = vec!["*".to_owned(), "api.example.com".to_owned()];
    assert_eq!(made.notes, [Note::Dropped(dropped)]);
}

#[test]
fn a_bundle_that_is_named_is_the_base() {
    let (a, b) = (
        CertificateDer::from(vec![5; 50]),
        CertificateDer::from(vec![6; 60]),
    );
    let given = Given::new()
        .with_bundle("SSL_CERT_FILE", &a)
        .with_bundle("REQUESTS_CA_BUNDLE", &b)
        .with_bundle("NODE_EXTRA_CA_CERTS", &b)
        .with("PIP_CERT", "/no/such/file")
        .with("AWS_CA_BUNDLE", "");
    let made = given.make();
    for (name, base) in [
        ("SSL_CERT_FILE", vec![&a]),
        ("CURL_CA_BUNDLE", vec![&a]),
        ("AWS_CA_BUNDLE", vec![&a]),
        ("REQUESTS_CA_BUNDLE", vec![&b]),
        ("NODE_EXTRA_CA_CERTS", vec![&b]),
        ("DENO_CERT", vec![]),
        ("PIP_CERT", given.roots.iter().collect()),
    ] {
        let expected: Vec<_> = base.into_iter().chain([&given.ca]).cloned().collect();
        assert_eq!(made.certificates(name), expected, "{name}");
    }
    let unread = Note::Unread("PIP_CERT", "/no/such/file".into());
    assert_eq!(made.notes, [unread]);
    // A run within a run: our CA is in the bundle already.
    let given = Given::new().with_bundle("SSL_CERT_FILE", &CertificateDer::from(vec![9; 90]));
    let whole = given.make().certificates("SSL_CERT_FILE");
    assert_eq!(whole, slice::from_ref(&given.ca));
}

#[test]
fn options_of_the_user_are_kept() {
    let given = Given::new()
        .with("NODE_OPTIONS", "--max-old-space-size=64")
        .with(
            "JAVA_TOOL_OPTIONS",
            "-Xmx64m -Djavax.net.ssl.trustStore=/mine",
        );
    let made = given.make();
    let node = made.text("NODE_OPTIONS");
    assert!(
        node.starts_with("--max-old-space-size=64 --require \"/"),
        "{node}"
    );
    let java = made.text("JAVA_TOOL_OPTIONS");
    assert!(
        java.starts_with("-Xmx64m -Djavax.net.ssl.trustStore=/mine -D"),
        "{java}"
    );
    assert_eq!(java.matches("trustStore").count(), 1);
    assert_eq!(made.notes, [Note::TrustStore]);
}

#[test]
fn sources_of_secrets_are_taken_out() {
    let mut given = Given::new()
        .with("API_TOKEN", "secret")
        .with("HTTP_PROXY", "secret");
    given.sources = vec!["API_TOKEN".into(), "HTTP_PROXY".into(), "NOT_SET".into()];
    let made = given.make();
    assert_eq!(made.unset, ["API_TOKEN", "NOT_SET"]);
    assert_eq!(made.text("HTTP_PROXY"), "http://127.0.0.1:8080");
}

#[test]
fn a_login_is_encoded_and_not_shown() {
    let mut given = Given::new();
    given.login = Some(("alice", Secret::from("p@ss:word/é")));
    let made = given.make();
    let url = "http://alice:p%40ss%3Aword%2F%C3%A9@127.0.0.1:8080";
    assert_eq!(made.text("HTTPS_PROXY"), url);
    assert!(!made.text("JAVA_TOOL_OPTIONS").contains("alice"));
    assert!(!format!("{made:?}").contains("p%40ss"));
}

#[test]
fn a_shell_takes_the_lines() {
    let mut given = Given::new().with("NODE_OPTIONS", "--title='it is' $(false)");
    given.sources = vec!["API_TOKEN".into()];
    let made = given.make();
    let script = format!(
        "{}\nprintf '%s|%s|%s' \"$https_proxy\" \"$NODE_OPTIONS\" \"${{API_TOKEN-unset}}\"",
        String::from_utf8(made.lines()).unwrap()
    );
    let shell = std::process::Command::new("sh")
        .env("API_TOKEN", "secret")
        .args(["-c", &script])
        .output()
        .unwrap();
    let node = made.text("NODE_OPTIONS");
    let expected = format!("http://127.0.0.1:8080|{node}|unset");
    assert_eq!(String::from_utf8(shell.stdout).unwrap(), expected);
}
