//! Keyrings, as the desktop's programs answer for them: Chromium's cookies whose password is in one.

use std::{fs, os::unix::fs::PermissionsExt as _};

use rusqlite::Connection;

use super::now;
use crate::support::proxy::{Proxy, proxy};

/// `hello` for `.mubi.com`, sealed by another writer with the password `secret`.
const SEALED: &str = "76313106fc383d963ccaebfc2d832e5fa9311f31e3b513288cca2a12cfc5698c6ff9afa60f5f195ac7f953c61cd880c7177837";

/// A home with one cookie in one browser's profile, and a folder of programs that is all of `PATH`.
fn home(folder: &str) -> Proxy {
    let proxy = proxy()
        .config("[session.site]\nbind = [{ host = \"mubi.com\" }]\n[session.site.cookies]\n")
        .prepare();
    let profile = proxy.path().join(".config").join(folder);
    fs::create_dir_all(&profile).unwrap();
    let database = Connection::open(profile.join("Cookies")).unwrap();
    database
        .execute_batch(
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);
             INSERT INTO meta VALUES ('version', '24');
             CREATE TABLE cookies (creation_utc INTEGER, host_key TEXT, top_frame_site_key TEXT DEFAULT '', name TEXT,
             value TEXT DEFAULT '', encrypted_value BLOB, path TEXT DEFAULT '/', expires_utc INTEGER,
             is_secure INTEGER DEFAULT 1, is_httponly INTEGER DEFAULT 0, samesite INTEGER DEFAULT -1);",
        )
        .unwrap();
    let end = (now() + 86_400 + 11_644_473_600) * 1_000_000;
    let sql = format!(
        "INSERT INTO cookies (host_key, name, encrypted_value, expires_utc) VALUES ('.mubi.com', 's', x'{SEALED}', {end})"
    );
    assert_eq!(database.execute(&sql, ()).unwrap(), 1);
    fs::create_dir(proxy.path().join("bin")).unwrap();
    proxy
}

fn program(proxy: &Proxy, name: &str, script: &str) {
    let path = proxy.path().join("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

/// Imports; returns what the session holds then, or what was said.
fn import(mut proxy: Proxy, browser: &str) -> Result<String, String> {
    let path = proxy.path().join("bin").to_str().unwrap().to_owned();
    proxy.environment.push(("PATH".to_owned(), path));
    let output = proxy.cli(&["import", "site", "--from", browser]);
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let output = proxy.cli(&["export", "site", "--to", "header"]);
    assert!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout).unwrap())
}

/// KWallet is asked for the entry of each browser where the Secret Service has none; what it says of no entry, on standard
/// output and with success, is no password.
#[test]
fn kwallet_is_asked() {
    for (browser, folder, title) in [
        ("chrome", "google-chrome/Default", "Chrome"),
        ("chromium", "chromium/Default", "Chromium"),
        ("brave", "BraveSoftware/Brave-Browser/Default", "Brave"),
        ("edge", "microsoft-edge/Default", "Chromium"),
        ("vivaldi", "vivaldi/Default", "Chrome"),
        ("opera", "opera", "Chromium"),
    ] {
        for secret_service in [false, true] {
            let proxy = home(folder);
            if secret_service {
                program(&proxy, "secret-tool", "exit 1\n");
            }
            let asked = format!("-f {title} Keys -r {title} Safe Storage kdewallet");
            let no = "Failed to read entry from the folder";
            let script = format!("[ \"$*\" = '{asked}' ] && echo secret || echo '{no}'\n");
            program(&proxy, "kwallet-query", &script);
            let held = import(proxy, browser).unwrap_or_else(|said| panic!("{browser}: {said}"));
            assert!(held.contains("s=hello"), "{browser}: {held}");
        }
        let proxy = home(folder);
        program(&proxy, "kwallet-query", "echo 'Failed to read entry'\n");
        let said = import(proxy, browser).unwrap_err();
        assert!(said.contains("keyring gave no password"), "{said}");
    }
}

/// The Secret Service goes before, by the application of each browser.
#[test]
fn the_secret_service_is_asked_first() {
    for (browser, folder, application) in [
        ("chrome", "google-chrome/Default", "chrome"),
        ("brave", "BraveSoftware/Brave-Browser/Default", "brave"),
        ("edge", "microsoft-edge/Default", "chromium"),
        ("vivaldi", "vivaldi/Default", "chrome"),
    ] {
        for version in ["v2", "v1"] {
            let proxy = home(folder);
            let schema = format!("chrome_libsecret_os_crypt_password_{version}");
            let asked = format!("lookup xdg:schema {schema} application {application}");
            let script = format!("[ \"$*\" = '{asked}' ] || exit 1\nprintf secret\n");
            program(&proxy, "secret-tool", &script);
            program(&proxy, "kwallet-query", "echo another\n");
            let held = import(proxy, browser).unwrap_or_else(|said| panic!("{browser}: {said}"));
            assert!(held.contains("s=hello"), "{browser}: {held}");
        }
    }
}
