//! The browsers that are made of Chromium: where each has its profiles, on Linux and on macOS.

use std::os::unix::fs::PermissionsExt as _;

use super::{
    chromium::{database_at, peanuts, put, seal, unhex},
    *,
};

/// PBKDF2 with HMAC-SHA-1, 1003 rounds, of `secret` with `saltysalt`, as Python's `hashlib` has it.
const SECRET_ON_MAC: &str = "1a7404704ee35b4506624ed49171a534";

/// A browser, the folders that have its profiles below a home, and whether it has had a time without a folder for each
/// profile.
const LINUX: [(Browser, &[&str]); 6] = [
    (
        Browser::Chrome,
        &[
            ".config/google-chrome",
            ".config/google-chrome-beta",
            ".config/google-chrome-unstable",
            ".var/app/com.google.Chrome/config/google-chrome",
        ],
    ),
    (
        Browser::Chromium,
        &[
            ".config/chromium",
            "snap/chromium/common/chromium",
            ".var/app/org.chromium.Chromium/config/chromium",
        ],
    ),
    (
        Browser::Brave,
        &[
            ".config/BraveSoftware/Brave-Browser",
            ".var/app/com.brave.Browser/config/BraveSoftware/Brave-Browser",
        ],
    ),
    (
        Browser::Edge,
        &[
            ".config/microsoft-edge",
            ".config/microsoft-edge-beta",
            ".var/app/com.microsoft.Edge/config/microsoft-edge",
        ],
    ),
    (
        Browser::Vivaldi,
        &[
            ".config/vivaldi",
            ".var/app/com.vivaldi.Vivaldi/config/vivaldi",
        ],
    ),
    (
        Browser::Opera,
        &[".config/opera", ".var/app/com.opera.Opera/config/opera"],
    ),
];

fn value(material: &Material) -> String {
    assert_eq!(material.cookies.len(), 1);
    String::from_utf8(material.cookies[0].value.expose().clone()).unwrap()
}

fn put_sealed(home: &Home, below: &str, key: &[u8]) {
    let db = database_at(home, below, 24);
    let sealed = seal("v10", key, Some("mubi.com"), below.as_bytes());
    put(&db, "mubi.com", "s", &sealed);
}

/// 4.3.1: each browser is read where it is, in both places of the file, and no other browser finds it there.
#[test]
fn every_place_on_linux() {
    for (browser, roots) in LINUX {
        let listed: Vec<_> = Home::new().places().roots(browser);
        assert_eq!(listed.len(), roots.len(), "{browser}: {listed:?}");
        // Opera has one profile, and in older versions no folder for it.
        let alone: &[&str] = match browser {
            Browser::Opera => &["Cookies"],
            _ => &[],
        };
        let files = ["Default/Cookies", "Default/Network/Cookies"];
        for root in roots {
            for file in files.iter().chain(alone) {
                let home = Home::new();
                let below = format!("{root}/{file}");
                put_sealed(&home, &below, &peanuts());
                let material = take(&home, browser, &Told::default()).unwrap();
                assert_eq!(value(&material), below);
                for (other, _) in LINUX.iter().filter(|(other, _)| *other != browser) {
                    let said = said(take(&home, *other, &Told::default()));
                    assert!(said.contains("there is no profile"), "{other}: {said}");
                }
            }
        }
    }
}

/// A Mac's keychain as `security` shows it: it has a password for one entry.
fn keychain(home: &Home, service: &str) -> Keyring {
    let program = home.path("programs/security");
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = 'find-generic-password -w -s {service} Safe Storage' ] || exit 44\necho secret\n"
    );
    home.write("programs/security", script);
    fs::set_permissions(program, fs::Permissions::from_mode(0o700)).unwrap();
    Keyring::In(home.path("programs"))
}

/// Each browser on macOS, with its own entry in the keychain, and a key of 1003 rounds.
#[test]
fn every_place_on_macos() {
    for (browser, root, service) in [
        (Browser::Chrome, "Google/Chrome/Default", "Chrome"),
        (Browser::Chromium, "Chromium/Default", "Chromium"),
        (
            Browser::Brave,
            "BraveSoftware/Brave-Browser/Default",
            "Brave",
        ),
        (Browser::Edge, "Microsoft Edge/Default", "Microsoft Edge"),
        (Browser::Vivaldi, "Vivaldi/Default", "Vivaldi"),
        (Browser::Opera, "com.operasoftware.Opera", "Opera"),
    ] {
        let home = Home::new();
        let places = home.places().on_mac();
        let below = format!("Library/Application Support/{root}/Cookies");
        put_sealed(&home, &below, &unhex(SECRET_ON_MAC));
        let with = |keyring: &Keyring, password| {
            let told = Told {
                password,
                ..Told::default()
            };
            take_with(&home, &places, keyring, browser, &told)
        };
        let material = with(&keychain(&home, service), None).unwrap();
        assert_eq!(value(&material), below);
        let material = with(&Keyring::None, Some("secret")).unwrap();
        assert_eq!(value(&material), below);
        // Neither the entry of another nor the password that everybody knows on Linux opens it.
        let said = said(with(&keychain(&home, "Another"), None));
        assert!(said.contains("keyring gave no password"), "{said}");
        assert!(with(&Keyring::None, Some("peanuts")).is_err());
    }
    let home = Home::new();
    let ini = "[Profile0]\nName=default\nPath=Profiles/a.default\nDefault=1\n";
    let root = "Library/Application Support/Firefox";
    home.write(&format!("{root}/profiles.ini"), ini);
    home.write(&format!("{root}/Profiles/a.default/cookies.sqlite"), "");
    let places = home.places().on_mac();
    let told = Told::default();
    let said = said(take_with(
        &home,
        &places,
        &Keyring::None,
        Browser::Firefox,
        &told,
    ));
    assert!(
        said.contains("a.default/cookies.sqlite is damaged"),
        "{said}"
    );
}

/// On macOS what does not say how it is sealed is in clear; on Linux nobody knows what it is.
#[test]
fn values_in_clear_on_macos() {
    for (version, stored, clear) in [
        (23, &b"a value in clear"[..], Some("a value in clear")),
        (23, b"v1", Some("v1")),
        (23, b"v99 is to come", None),
        (24, b"without the hash of its host", None),
    ] {
        let home = Home::new();
        let file = "Library/Application Support/Google/Chrome/Default/Cookies";
        let db = database_at(&home, file, version);
        put(&db, "mubi.com", "s", stored);
        let places = home.places().on_mac();
        let told = Told::default();
        let read = take_with(&home, &places, &Keyring::None, Browser::Chrome, &told);
        assert_eq!(read.as_ref().ok().map(value).as_deref(), clear, "{read:?}");
        let linux = ".config/google-chrome/Default/Cookies";
        put(&database_at(&home, linux, version), "mubi.com", "s", stored);
        assert!(take(&home, Browser::Chrome, &told).is_err());
    }
}
