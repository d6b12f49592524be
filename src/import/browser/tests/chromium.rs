//! Chromium: versions of the database, seals, profiles.

use aws_lc_rs::{
    cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    digest,
    iv::FixedLength,
};

use super::*;

const ROOT: &str = ".config/chromium";
const END: u64 = NOW + 86_400;

/// The key of the password `peanuts`, as two other readers have it.
const PEANUTS: &str = "fd621fe5a2b402539dfa147ca9272778";

pub(super) fn database(home: &Home, below: &str, version: i64) -> Connection {
    database_at(home, &format!("{ROOT}/{below}"), version)
}

pub(super) fn database_at(home: &Home, below: &str, version: i64) -> Connection {
    let path = home.path(below);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let connection = Connection::open(path).unwrap();
    let (secure, site) = match version {
        ..10 => ("secure", ""),
        10..15 => ("is_secure", ""),
        _ => ("is_secure", "top_frame_site_key TEXT NOT NULL DEFAULT '',"),
    };
    connection
        .execute_batch(&format!(
            "CREATE TABLE meta (key LONGVARCHAR NOT NULL UNIQUE PRIMARY KEY, value LONGVARCHAR);
             INSERT INTO meta VALUES ('version', '{version}');
             CREATE TABLE cookies (creation_utc INTEGER, host_key TEXT, {site} name TEXT, value TEXT DEFAULT '',
             encrypted_value BLOB DEFAULT '', path TEXT DEFAULT '/', expires_utc INTEGER, {secure} INTEGER,
             is_httponly INTEGER, samesite INTEGER DEFAULT -1);"
        ))
        .unwrap();
    connection
}

pub(super) fn put(connection: &Connection, host: &str, name: &str, sealed: &[u8]) {
    let secure = "SELECT name FROM pragma_table_info('cookies') WHERE name LIKE '%secure'";
    let secure: String = connection.query_row(secure, [], |row| row.get(0)).unwrap();
    let expires = (END + 11_644_473_600) * 1_000_000;
    connection
        .execute(
            &format!(
                "INSERT INTO cookies (creation_utc, host_key, name, encrypted_value, expires_utc, {secure}, is_httponly)
                 VALUES (0, ?1, ?2, ?3, ?4, 1, 0)"
            ),
            (host, name, sealed, i64::try_from(expires).unwrap()),
        )
        .unwrap();
}

pub(super) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Seals a value as Chromium does.
pub(super) fn seal(prefix: &str, key: &[u8], host: Option<&str>, value: &[u8]) -> Vec<u8> {
    let hash = host.map(|host| digest::digest(&digest::SHA256, host.as_bytes()));
    let mut text = [hash.as_ref().map_or(&b""[..], |hash| hash.as_ref()), value].concat();
    let key = UnboundCipherKey::new(&AES_128, key).unwrap();
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap();
    let iv = EncryptionContext::Iv128(FixedLength::from([b' '; 16]));
    key.less_safe_encrypt(&mut text, iv).unwrap();
    [prefix.as_bytes(), &text].concat()
}

pub(super) fn peanuts() -> Vec<u8> {
    unhex(PEANUTS)
}

fn secret() -> Vec<u8> {
    let rounds = std::num::NonZeroU32::MIN;
    import::cipher::short_key_of("secret", b"saltysalt", rounds).to_vec()
}

/// 4.3.1: values that others have sealed, in both versions, with the public password and with a given one.
#[test]
fn seals() {
    const V10_23: &str = "763130ce9b849d984a1cedb8ba4eea782c2680";
    const V10_24: &str = "763130c7a2705626df815f6ba104c2e791149912a5734a4bbedfd6b7e172246b3c13bf71a19a5804e141356de7b1bc3d29123e";
    const V11_24: &str = "76313106fc383d963ccaebfc2d832e5fa9311f31e3b513288cca2a12cfc5698c6ff9afa60f5f195ac7f953c61cd880c7177837";
    let with = |password: Option<&'static str>| Told {
        password,
        ..Told::default()
    };
    for (version, sealed, password) in [
        (9, V10_23, None),
        (23, V10_23, None),
        (24, V10_24, None),
        (24, V11_24, Some("secret")),
    ] {
        let home = Home::new();
        let db = database(&home, "Default/Cookies", version);
        put(&db, ".mubi.com", "_mubi_session", &unhex(sealed));
        put(&db, ".evilmubi.com", "_mubi_session", &unhex(sealed));
        let material = take(&home, Browser::Chromium, &with(password)).unwrap();
        let expected = [format!("_mubi_session=hello .mubi.com/ secure until {END}")];
        assert_eq!(lines(&material), expected, "{version}");
        assert!(material.warnings.is_empty(), "{:?}", material.warnings);
    }
    // What is sealed here is what was sealed there.
    let sealed = seal("v10", &peanuts(), Some(".mubi.com"), b"hello");
    assert_eq!(sealed, unhex(V10_24));
}

/// Values in clear, empty ones, and what an older version sealed with the empty password.
#[test]
fn values() {
    let home = Home::new();
    let db = database(&home, "Default/Network/Cookies", 24);
    put(&db, "mubi.com", "empty", b"");
    put(&db, "mubi.com", "plain", b"");
    db.execute(
        "UPDATE cookies SET value = 'in clear' WHERE name = 'plain'",
        [],
    )
    .unwrap();
    let no_password = unhex("d0d0ec9c7d77d43ac54187fa4818d17f");
    put(
        &db,
        "mubi.com",
        "by-mistake",
        &seal("v10", &no_password, Some("mubi.com"), b"1"),
    );
    put(
        &db,
        "mubi.com",
        "fallback",
        &seal("v11", &no_password, Some("mubi.com"), b"2"),
    );
    put(
        &db,
        "mubi.com",
        "apart",
        &seal("v10", &peanuts(), Some("mubi.com"), b"3"),
    );
    db.execute_batch(
        "UPDATE cookies SET top_frame_site_key = 'https://other.test' WHERE name = 'apart';
         UPDATE cookies SET expires_utc = 0 WHERE name = 'plain';
         UPDATE cookies SET encrypted_value = CAST(encrypted_value AS TEXT) WHERE name = 'empty';",
    )
    .unwrap();
    let material = take(&home, Browser::Chromium, &Told::default()).unwrap();
    let expected = [
        format!("by-mistake=1 mubi.com/ secure until {END}"),
        format!("empty= mubi.com/ secure until {END}"),
        format!("fallback=2 mubi.com/ secure until {END}"),
        "plain=in clear mubi.com/ secure".to_owned(),
    ];
    assert_eq!(lines(&material), expected);
    assert_eq!(
        material.warnings,
        ["1 cookie is kept apart for one embedding site"]
    );
}

/// 4.3.9: each cookie that cannot be opened costs itself alone, and is counted.
#[test]
fn what_cannot_be_opened() {
    let home = Home::new();
    let db = database(&home, "Default/Cookies", 24);
    let sealed = |prefix| seal(prefix, &secret(), Some("mubi.com"), b"x");
    put(
        &db,
        "mubi.com",
        "good",
        &seal("v10", &peanuts(), Some("mubi.com"), b"x"),
    );
    put(&db, "mubi.com", "keyring", &sealed("v11"));
    put(&db, "mubi.com", "portal", &sealed("v12"));
    put(&db, "mubi.com", "windows", &sealed("v20"));
    put(&db, "mubi.com", "windows2", &sealed("v20"));
    put(&db, "mubi.com", "later", &sealed("v99"));
    put(&db, "mubi.com", "short", b"v1");
    put(&db, "mubi.com", "cut", &sealed("v10")[..20]);
    put(&db, "mubi.com", "nothing", b"v10");
    put(
        &db,
        "mubi.com",
        "moved",
        &seal("v10", &peanuts(), Some("other.test"), b"x"),
    );
    put(
        &db,
        "mubi.com",
        "large",
        &seal("v10", &peanuts(), Some("mubi.com"), &[b'x'; 5000]),
    );
    put(
        &db,
        "mubi.com",
        "lines",
        &seal("v10", &peanuts(), Some("mubi.com"), b"a\r\nb"),
    );
    let material = take(&home, Browser::Chromium, &Told::default()).unwrap();
    assert_eq!(material.cookies.len(), 1);
    let expected = [
        "1 cookie cannot be kept (a control character or `;` where none may be, a path without `/`, or neither name nor value)",
        "1 cookie cannot be kept (name and value are longer than limits.cookie_bytes (4096))",
        "3 cookies: each is damaged",
        "1 cookie is encrypted (v11), and the keyring gave no password",
        "1 cookie is encrypted by the desktop's portal (v12)",
        "2 cookies: each is encrypted for Chrome alone (v20)",
        "1 cookie is encrypted in a way that is not known",
        "1 cookie was written for another host",
    ];
    assert_eq!(material.warnings, expected);

    // Where nothing is left, the first of them says what to do.
    for (sealed, says, to_do) in [
        (sealed("v11"), "keyring gave no password", "secret-tool"),
        (sealed("v12"), "portal (v12)", "outside of Flatpak"),
        (sealed("v20"), "Chrome alone (v20)", "use Firefox"),
    ] {
        let home = Home::new();
        let db = database(&home, "Default/Cookies", 24);
        put(&db, "mubi.com", "_mubi_session", &sealed);
        let said = said(take(&home, Browser::Chromium, &Told::default()));
        assert!(said.contains(says) && said.contains(to_do), "{said}");
    }
    let home = Home::new();
    let db = database(&home, "Default/Cookies", 24);
    put(&db, "mubi.com", "_mubi_session", &sealed("v11"));
    let wrong = Told {
        password: Some("another"),
        ..Told::default()
    };
    let said = said(take(&home, Browser::Chromium, &wrong));
    assert!(said.contains("1 cookie "), "{said}");
}

/// Profiles by folder and by the name that people gave; the one used last without a word.
#[test]
fn profiles() {
    let home = Home::new();
    for (folder, value) in [
        ("Default", "one"),
        ("Profile 2", "two"),
        ("Guest Profile", "guest"),
    ] {
        let db = database(&home, &format!("{folder}/Cookies"), 24);
        put(
            &db,
            "mubi.com",
            "s",
            &seal("v10", &peanuts(), Some("mubi.com"), value.as_bytes()),
        );
    }
    let of = |profile: Option<&str>| {
        let told = Told {
            profile,
            ..Told::default()
        };
        let material = take(&home, Browser::Chromium, &told).unwrap();
        String::from_utf8(material.cookies[0].value.expose().clone()).unwrap()
    };
    assert_eq!(of(None), "one");
    home.write(
        &format!("{ROOT}/Local State"),
        r#"{"profile":{"last_used":"Profile 2","info_cache":{"Default":{"name":"Home"},"Profile 2":{"name":"Films"}}}}"#,
    );
    assert_eq!(of(None), "two");
    assert_eq!(of(Some("Home")), "one");
    assert_eq!(of(Some("Profile 2")), "two");
    assert_eq!(of(Some("Films")), "two");
    let told = Told {
        profile: Some("Guest Profile"),
        ..Told::default()
    };
    assert!(said(take(&home, Browser::Chromium, &told)).contains("has no profile"));
    let boxed = Told {
        container: Some("work"),
        ..Told::default()
    };
    assert!(said(take(&home, Browser::Chromium, &boxed)).contains("no containers"));
    // Each browser has a place of its own.
    assert!(said(take(&home, Browser::Brave, &Told::default())).contains("Brave-Browser"));
}
