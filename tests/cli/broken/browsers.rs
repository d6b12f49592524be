//! The databases of browsers.

use std::{fs, path::PathBuf};

use rusqlite::Connection;

use super::{
    Bom, CONFIG, Crlf, FAULTS, Fault, FlippedByte, Large, Locked, NoKeyring, Said, Truncated,
    Twice, WrongPassword, WrongType,
};
use crate::{
    providers::profiles::Firefox,
    support::proxy::{Proxy, proxy},
};

/// Chromium and those that are made of it, each with the folder of its profile.
const KIN: [(&str, &str); 6] = [
    ("chromium", "chromium/Default"),
    ("chrome", "google-chrome/Default"),
    ("brave", "BraveSoftware/Brave-Browser/Default"),
    ("edge", "microsoft-edge/Default"),
    ("vivaldi", "vivaldi/Default"),
    ("opera", "opera"),
];

/// Every browser × every fault.
#[test]
fn every_browser_and_every_fault() {
    let import = |proxy: &Proxy, browser: &str, more: &[&str]| -> Said {
        let arguments = [&["import", "site", "--from", browser], more].concat();
        proxy.cli(&arguments).into()
    };
    for browser in ["firefox"].into_iter().chain(KIN.map(|(name, _)| name)) {
        for fault in FAULTS {
            let what = format!("{browser}, {fault:?}");
            let proxy = proxy()
                .config(CONFIG)
                .env("WRONG", "battery staple")
                .prepare();
            let path = profile(&proxy, browser, fault);
            let mut lock = None;
            let (more, words): (&[&str], &[&str]) = match (fault, browser) {
                (Bom | Crlf | Twice, _) => {
                    println!("{what}: it is a database");
                    continue;
                }
                (WrongPassword | NoKeyring, "firefox") => {
                    println!("{what}: Firefox does not encrypt its cookies");
                    continue;
                }
                (WrongPassword, _) => (
                    &["--password", "env:WRONG"],
                    &["has no cookie", "1 cookie", "hint: "],
                ),
                (NoKeyring, _) => (&[], &["keyring gave no password", "hint: ", "secret-tool"]),
                (Truncated, _) => {
                    let bytes = fs::read(&path).unwrap();
                    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
                    (&[], &["is damaged or cut off", "hint: "])
                }
                (FlippedByte, _) => {
                    let mut bytes = fs::read(&path).unwrap();
                    bytes[3] ^= 1;
                    fs::write(&path, bytes).unwrap();
                    (&[], &["is damaged or cut off, or no database", "hint: "])
                }
                (WrongType, _) => {
                    fs::write(&path, "# Netscape HTTP Cookie File\n").unwrap();
                    (&[], &["is damaged or cut off, or no database", "hint: "])
                }
                (Large, _) => {
                    let file = fs::File::options().write(true).open(&path).unwrap();
                    file.set_len(100 << 20).unwrap();
                    (&[], &["is larger than 64 MiB", "hint: "])
                }
                (Locked, _) => {
                    let connection = Connection::open(&path).unwrap();
                    connection
                        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
                        .unwrap();
                    lock = Some(connection);
                    (&[], &[])
                }
            };
            let said = import(&proxy, browser, more);
            if lock.is_some() {
                // As Firefox holds its own for as long as it runs.
                assert_eq!(said.code, 0, "{what}: {}", said.err);
                assert!(
                    said.out.starts_with("1 cookie taken"),
                    "{what}: {}",
                    said.out
                );
                continue;
            }
            for word in words {
                assert!(
                    said.err.contains(word),
                    "{what}: no {word:?} in: {}",
                    said.err
                );
            }
            assert_eq!(said.code, 1, "{what}: {}", said.err);
            assert_eq!(proxy.status("site")["generation"], 0, "{what}");
            println!("{what}: {}", said.err.trim().replace('\n', " | "));
        }
    }
}

/// Makes a profile with one cookie in the home of the proxy; returns its database.
fn profile(proxy: &Proxy, browser: &str, fault: Fault) -> PathBuf {
    if browser == "firefox" {
        Firefox::in_home(proxy.path()).set("www.site.example", "sid", "canary-one");
        return proxy
            .path()
            .join(".mozilla/firefox/abcd1234.default-esr/cookies.sqlite");
    }
    let folder = KIN.iter().find(|(name, _)| *name == browser);
    let (_, folder) = folder.expect("a kin of Chromium");
    let folder = proxy.path().join(".config").join(folder);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("Cookies");
    let database = Connection::open(&path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE meta (key LONGVARCHAR NOT NULL UNIQUE PRIMARY KEY, value LONGVARCHAR);
             INSERT INTO meta VALUES ('version', '23');
             CREATE TABLE cookies (creation_utc INTEGER, host_key TEXT, top_frame_site_key TEXT NOT NULL DEFAULT '',
             name TEXT, value TEXT DEFAULT '', encrypted_value BLOB DEFAULT '', path TEXT DEFAULT '/',
             expires_utc INTEGER, is_secure INTEGER, is_httponly INTEGER, samesite INTEGER DEFAULT -1);",
        )
        .unwrap();
    let sealed = matches!(fault, WrongPassword | NoKeyring);
    let (plain, sealed) = match sealed {
        true => ("", [b"v11".as_slice(), &[7; 32]].concat()),
        false => ("canary-one", Vec::new()),
    };
    database
        .execute(
            "INSERT INTO cookies (creation_utc, host_key, name, value, encrypted_value, expires_utc, is_secure, is_httponly)
             VALUES (0, 'www.site.example', 'sid', ?1, ?2, 0, 1, 1)",
            (plain, sealed),
        )
        .unwrap();
    path
}
