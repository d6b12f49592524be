//! Profiles as browsers leave them, made by hand: every schema, every way in which a cookie cannot be had. The numbers
//! in comments (4.3.1) are those of the list of cases that the `mubi` provider was built to.

mod chromium;
mod firefox;
mod kin;
mod trouble;

use std::{fs, time::Duration};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::{import, jar::Bounds, origin::Scheme};

const NOW: u64 = 1_760_000_000;

/// A home with browsers in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn write(&self, below: &str, content: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn places(&self) -> Places {
        let home = self.0.path().as_os_str().to_owned();
        Places::of(|name| match name {
            "HOME" => Some(home.clone()),
            "XDG_RUNTIME_DIR" => Some(self.path("").into()),
            _ => None,
        })
    }
}

/// What one import is told.
#[derive(Clone, Default)]
struct Told<'a> {
    profile: Option<&'a str>,
    container: Option<&'a str>,
    password: Option<&'a str>,
    domain: Option<&'a str>,
}

fn take(home: &Home, browser: Browser, told: &Told<'_>) -> Result<Material, import::Error> {
    take_with(home, &home.places(), &Keyring::None, browser, told)
}

fn take_with(
    home: &Home,
    places: &Places,
    keyring: &Keyring,
    browser: Browser,
    told: &Told<'_>,
) -> Result<Material, import::Error> {
    let hosts = ["mubi.com", "api.mubi.com"].map(|host| HostPattern::Exact(host.parse().unwrap()));
    let ask = Ask {
        browser,
        profile: told.profile,
        container: told.container,
        hosts: &hosts,
        places,
        keyring,
    };
    let options = Options {
        domain: told.domain.map(|domain| import::domain(domain).unwrap()),
        scheme: Scheme::Https,
        bounds: Bounds {
            cookies: 3000,
            per_domain: 180,
            bytes: 4096,
        },
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
        password: told.password.map(Secret::from),
        key: None,
        hosts: Vec::new(),
        values: BTreeMap::new(),
    };
    let read = read(&ask, &options);
    let left: Vec<_> = fs::read_dir(home.path("")).unwrap().flatten().collect();
    let copies = left.iter().filter(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .starts_with("staysigned")
    });
    assert_eq!(copies.count(), 0, "a copy was left behind");
    read
}

/// The cookies as `name=value domain path`, a dot before the domain where the hosts below are meant, and the
/// attributes.
fn lines(material: &Material) -> Vec<String> {
    let line = |cookie: &crate::jar::Cookie| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let dot = if cookie.host_only { "" } else { "." };
        let expires = cookie.expires.map(|at| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            format!(" until {}", since.as_secs())
        });
        format!(
            "{}={} {dot}{}{}{}{}{}",
            text(&cookie.name),
            text(cookie.value.expose()),
            cookie.domain,
            cookie.path,
            if cookie.secure { " secure" } else { "" },
            if cookie.http_only { " http-only" } else { "" },
            expires.unwrap_or_default(),
        )
    };
    let mut lines: Vec<_> = material.cookies.iter().map(line).collect();
    lines.sort();
    lines
}

fn said(result: Result<Material, import::Error>) -> String {
    let error = result.expect_err("it is refused");
    let hint = error.hint().expect("a hint");
    format!("{error} [{hint}]")
}

#[test]
fn only_what_could_be_sent() {
    let exact = |host: &str| vec![HostPattern::Exact(host.parse().unwrap())];
    let below = |host: &str| vec![HostPattern::Below(host.parse().unwrap())];
    for (hosts, domain, cookie, expected) in [
        (exact("mubi.com"), None, "mubi.com", true),
        (exact("mubi.com"), None, ".mubi.com", true),
        (exact("mubi.com"), None, ".MUBI.com", true),
        (exact("mubi.com"), None, "evilmubi.com", false),
        (exact("mubi.com"), None, ".evilmubi.com", false),
        (exact("mubi.com"), None, "mubi.com.evil.test", false),
        (exact("mubi.com"), None, "api.mubi.com", false),
        (exact("api.mubi.com"), None, ".mubi.com", true),
        (exact("api.mubi.com"), None, "mubi.com", false),
        (exact("127.0.0.1"), None, "127.0.0.1", true),
        (exact("127.0.0.1"), None, ".0.0.1", false),
        (below("mubi.com"), None, "api.mubi.com", true),
        (below("mubi.com"), None, ".mubi.com", true),
        (below("mubi.com"), None, "mubi.com", false),
        (below("mubi.com"), None, "evilmubi.com", false),
        (exact("mubi.com"), Some("other.test"), "mubi.com", false),
        (
            exact("mubi.com"),
            Some("other.test"),
            "www.other.test",
            true,
        ),
        (
            exact("mubi.com"),
            Some("www.other.test"),
            ".other.test",
            true,
        ),
        (
            exact("mubi.com"),
            Some("www.other.test"),
            "other.test",
            false,
        ),
    ] {
        let only = domain.map(|domain: &str| domain.parse::<Host>().unwrap());
        assert_eq!(
            wants(&hosts, only.as_ref(), cookie),
            expected,
            "{hosts:?} {domain:?} {cookie}"
        );
    }
}
