//! What lies in files: imports, browsers' profiles, configurations, providers.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use rusqlite::Connection;
use staysigned::{
    config,
    import::{self, Browser, browser},
    jar::Bounds,
    limits::Limits,
    origin::Scheme,
    rule::HostPattern,
    secret::Secret,
};
use tempfile::TempDir;

use super::{choose, now};

/// Files and pastes of other tools: cookies that can stand in a field, or an error.
pub fn import(data: &[u8]) {
    use import::Kind::{
        Audible, CookiesTxt, Curl, Fernet, Har, Header, Json, StorageState, Supabase,
    };
    let kinds = [
        CookiesTxt,
        Json,
        StorageState,
        Supabase,
        Fernet,
        Header,
        Curl,
        Har,
        Audible,
    ];
    let Some((kind, text)) = choose(data, &kinds) else {
        return;
    };
    let options = import::Options {
        domain: "example.com".parse().ok(),
        ..options()
    };
    hold(import::read(kind, text, &options));
}

/// A browser's own files: a value that Chromium sealed, or Firefox's session.
pub fn browser(data: &[u8]) {
    let Some((which, data)) = choose(data, &[Value::Old, Value::Hashed, Value::Session]) else {
        return;
    };
    let home = folder();
    let browser = match which {
        Value::Old => sealed(home.path(), data, 23),
        Value::Hashed => sealed(home.path(), data, 24),
        Value::Session => session(home.path(), data),
    };
    let variable = |name: &str| (name == "HOME").then(|| home.path().into());
    let ask = browser::Ask {
        browser,
        profile: None,
        container: None,
        hosts: &[HostPattern::Exact("example.com".parse().expect("a host"))],
        places: &browser::Places::of(variable),
        keyring: &browser::Keyring::None,
    };
    hold(browser::read(&ask, &options()));
}

#[derive(Clone, Copy)]
enum Value {
    Old,
    Hashed,
    Session,
}

fn sealed(home: &Path, value: &[u8], version: u32) -> Browser {
    let profile = home.join(".config/chromium/Default");
    fs::create_dir_all(&profile).expect("a folder");
    let connection = Connection::open(profile.join("Cookies")).expect("a database");
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
             CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);
             INSERT INTO meta VALUES ('version', '{version}');
             CREATE TABLE cookies (host_key TEXT, top_frame_site_key TEXT DEFAULT '', name TEXT, value TEXT DEFAULT '',
             encrypted_value BLOB, path TEXT DEFAULT '/', expires_utc INTEGER DEFAULT 0, is_secure INTEGER DEFAULT 1,
             is_httponly INTEGER DEFAULT 0, samesite INTEGER DEFAULT -1);"
        ))
        .expect("tables");
    let row =
        "INSERT INTO cookies (host_key, name, encrypted_value) VALUES ('example.com', 'sid', ?1)";
    connection.execute(row, [value]).expect("a row");
    Browser::Chromium
}

fn session(home: &Path, text: &[u8]) -> Browser {
    let profile = home.join(".mozilla/firefox/a.default");
    fs::create_dir_all(&profile).expect("a folder");
    fs::write(
        home.join(".mozilla/firefox/profiles.ini"),
        "[Profile0]\nName=default\nIsRelative=1\nPath=a.default\nDefault=1\n",
    )
    .expect("written");
    let database = Connection::open(profile.join("cookies.sqlite")).expect("a database");
    database
        .execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
             CREATE TABLE moz_cookies (originAttributes TEXT DEFAULT '', name TEXT, value TEXT, host TEXT, path TEXT,
             expiry INTEGER, isSecure INTEGER, isHttpOnly INTEGER, sameSite INTEGER);",
        )
        .expect("a table");
    // Behind the magic and a length that is not too short for any block.
    let text = [&b"mozLz40\0\xff\xff\x0f\0"[..], text].concat();
    fs::write(profile.join("sessionstore.jsonlz4"), text).expect("written");
    Browser::Firefox
}

/// Configurations: read or refused, with a message. Found where none may name a program: none is run.
pub fn config(data: &[u8]) {
    load(data, None);
}

/// Providers: a session is made of one, or it is refused with a message.
pub fn provider(data: &[u8]) {
    let config = b"[session.a]\nprovider = \"site\"\nvalues = { tld = \"com\", region = \"eu\" }\n";
    load(config, Some(data));
}

fn load(config: &[u8], provider: Option<&[u8]>) {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(folder);
    let own = format!("{:?}", std::thread::current().id());
    let folder: PathBuf = FOLDER.path().join(own);
    fs::create_dir_all(folder.join("providers")).expect("a folder");
    let path = folder.join("config.toml");
    fs::write(&path, config).expect("written");
    if let Some(provider) = provider {
        fs::write(folder.join("providers/site.toml"), provider).expect("written");
    }
    let place = config::Place {
        path,
        found: config::Found::Folder,
        notes: Vec::new(),
    };
    if let Err(faults) = config::load(&place, &config::Variables::default()) {
        assert!(!faults.to_string().is_empty());
    }
}

/// What was read can stand in a field; what was not has a message.
fn hold(read: Result<import::Material, import::Error>) {
    match read {
        Ok(material) => {
            for cookie in &material.cookies {
                let value = cookie.value.expose();
                assert!(
                    !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
                    "{cookie:?}"
                );
            }
        }
        Err(error) => drop((error.to_string(), error.hint())),
    }
}

fn options() -> import::Options {
    import::Options {
        hosts: Vec::new(),
        domain: None,
        scheme: Scheme::Https,
        bounds: Bounds::from(&Limits::default()),
        now: now(),
        password: None,
        key: Some(Secret::from("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")),
        values: BTreeMap::new(),
    }
}

/// A folder in memory where there is one.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    }
    .expect("a folder")
}
