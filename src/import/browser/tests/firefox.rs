//! Firefox: versions of the database, the log, containers, the session file, profiles.

use super::*;

const ROOT: &str = ".mozilla/firefox";
const END: u64 = NOW + 86_400;

/// Makes the database as this version of it is, and returns it open.
fn database(home: &Home, profile: &str, version: i64) -> Connection {
    let path = home.path(&format!("{ROOT}/{profile}/cookies.sqlite"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "CREATE TABLE moz_cookies (id INTEGER PRIMARY KEY, originAttributes TEXT NOT NULL DEFAULT '', name TEXT,
             value TEXT, host TEXT, path TEXT, expiry INTEGER, lastAccessed INTEGER, creationTime INTEGER,
             isSecure INTEGER, isHttpOnly INTEGER, inBrowserElement INTEGER DEFAULT 0, sameSite INTEGER DEFAULT 0,
             schemeMap INTEGER DEFAULT 0, isPartitionedAttributeSet INTEGER DEFAULT 0,
             CONSTRAINT moz_uniqueid UNIQUE (name, host, path, originAttributes));
             PRAGMA user_version = {version};"
        ))
        .unwrap();
    connection
}

fn put(
    connection: &Connection,
    host: &str,
    name: &str,
    value: &str,
    attributes: &str,
    expiry: u64,
) {
    connection
        .execute(
            "INSERT INTO moz_cookies (originAttributes, name, value, host, path, expiry, isSecure, isHttpOnly)
             VALUES (?1, ?2, ?3, ?4, '/', ?5, 1, 1)",
            (attributes, name, value, host, i64::try_from(expiry).unwrap()),
        )
        .unwrap();
}

fn ini(home: &Home, more: &str) {
    let text = format!(
        "[Profile1]\nName=work\nIsRelative=1\nPath=bbbb.work\n\n\
         [Profile0]\nName=default\nIsRelative=1\nPath=aaaa.default\nDefault=1\n\n{more}"
    );
    home.write(&format!("{ROOT}/profiles.ini"), text);
}

/// 4.3.1: seconds up to version 15, milliseconds from 16 on; look-alikes are not taken.
#[test]
fn versions() {
    for (version, unit) in [(10, 1), (15, 1), (16, 1000), (17, 1000)] {
        let home = Home::new();
        ini(&home, "");
        let db = database(&home, "aaaa.default", version);
        put(&db, "mubi.com", "_mubi_session", "S", "", END * unit);
        put(&db, ".mubi.com", "lt", "L", "", END * unit);
        put(&db, "mubi.com", "old", "O", "", (NOW - 1) * unit);
        put(&db, "evilmubi.com", "_mubi_session", "EVIL", "", END * unit);
        let material = take(&home, Browser::Firefox, &Told::default()).unwrap();
        let expected = [
            format!("_mubi_session=S mubi.com/ secure http-only until {END}"),
            format!("lt=L .mubi.com/ secure http-only until {END}"),
        ];
        assert_eq!(lines(&material), expected, "{version}");
        assert_eq!(material.warnings, ["1 cookie is over"], "{version}");
    }
}

/// 4.3.1: what stands in the log alone, while the browser has the database open, locked for itself.
#[test]
fn only_in_the_log() {
    let home = Home::new();
    ini(&home, "");
    let db = database(&home, "aaaa.default", 17);
    put(&db, "mubi.com", "lt", "in the database", "", END * 1000);
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA locking_mode = EXCLUSIVE;",
    )
    .unwrap();
    put(
        &db,
        "mubi.com",
        "_mubi_session",
        "in the log",
        "",
        END * 1000,
    );
    db.execute(
        "UPDATE moz_cookies SET value = 'renewed' WHERE name = 'lt'",
        [],
    )
    .unwrap();
    let log = home.path(&format!("{ROOT}/aaaa.default/cookies.sqlite-wal"));
    assert!(fs::metadata(&log).unwrap().len() > 0);
    let before = fs::read(&log).unwrap();
    let material = take(&home, Browser::Firefox, &Told::default()).unwrap();
    let expected = [
        format!("_mubi_session=in the log mubi.com/ secure http-only until {END}"),
        format!("lt=renewed mubi.com/ secure http-only until {END}"),
    ];
    assert_eq!(lines(&material), expected);
    assert!(
        before == fs::read(&log).unwrap(),
        "the browser's files are only read"
    );
}

/// 4.3.1: containers are kept apart, by name and by number.
#[test]
fn containers() {
    let home = Home::new();
    ini(&home, "");
    home.write(
        &format!("{ROOT}/aaaa.default/containers.json"),
        r#"{"version":5,"lastUserContextId":7,"identities":[
            {"userContextId":1,"public":true,"icon":"fingerprint","l10nId":"user-context-personal"},
            {"userContextId":2,"public":true,"l10nID":"userContextWork.label"},
            {"userContextId":6,"public":true,"name":"Films"},
            {"userContextId":4294967295,"public":false,"name":"userContextIdInternal.webextStorageLocal"}]}"#,
    );
    let db = database(&home, "aaaa.default", 17);
    for (value, attributes) in [
        ("none", ""),
        ("personal", "^userContextId=1"),
        ("work", "^userContextId=2"),
        ("films", "^userContextId=6"),
        ("apart", "^partitionKey=%28https%2Cother.test%29"),
        (
            "both",
            "^userContextId=6&partitionKey=%28https%2Cother.test%29",
        ),
        ("window", "^privateBrowsingId=1"),
        ("isolated", "^userContextId=6&firstPartyDomain=other.test"),
    ] {
        put(
            &db,
            "mubi.com",
            "_mubi_session",
            value,
            attributes,
            END * 1000,
        );
    }
    put(
        &db,
        "mubi.com",
        "lt",
        "first",
        "^firstPartyDomain=mubi.com",
        END * 1000,
    );
    let in_it = |name: &'static str| Told {
        container: Some(name),
        ..Told::default()
    };
    for (told, expected) in [
        (Told::default(), vec!["none", "first"]),
        (in_it("none"), vec!["none", "first"]),
        (in_it("personal"), vec!["personal"]),
        (in_it("Work"), vec!["work"]),
        (in_it("films"), vec!["films"]),
        (in_it("6"), vec!["films"]),
    ] {
        let material = take(&home, Browser::Firefox, &told).unwrap();
        let values: Vec<_> = material
            .cookies
            .iter()
            .map(|cookie| String::from_utf8_lossy(cookie.value.expose()).into_owned())
            .collect();
        assert_eq!(values, expected);
    }
    assert_eq!(
        said(take(&home, Browser::Firefox, &in_it("banking"))),
        "the profile has no container \"banking\"; it has personal, work, Films \
         [name one of them, or leave --container out]"
    );
    db.execute_batch("DELETE FROM moz_cookies WHERE originAttributes <> '^userContextId=6'")
        .unwrap();
    assert_eq!(
        said(take(&home, Browser::Firefox, &Told::default())),
        format!(
            "Firefox has no cookie for mubi.com, api.mubi.com in {} that can be used: 1 cookie is in container 6 \
             [if that is where you are signed in: --container NAME]",
            home.path(&format!("{ROOT}/aaaa.default")).display()
        )
    );
}

/// Packs as Firefox does, without any compression.
fn packed(json: &str) -> Vec<u8> {
    let mut block = vec![0xf0];
    let mut rest = json.len() - 15;
    while rest >= 255 {
        block.push(255);
        rest -= 255;
    }
    block.push(rest as u8);
    let length = u32::try_from(json.len()).unwrap().to_le_bytes();
    [&b"mozLz40\0"[..], &length, &block, json.as_bytes()].concat()
}

/// Cookies that end with the browser stand in its session file, and nowhere else.
#[test]
fn the_session_file() {
    let json = r#"{"version":["sessionrestore",1],"windows":[],"cookies":[
        {"host":"mubi.com","name":"_mubi_session","value":"of the session","path":"/","secure":true,"httponly":true,
         "originAttributes":{"firstPartyDomain":"","inIsolatedMozBrowser":false,"partitionKey":"","userContextId":0,"privateBrowsingId":0}},
        {"host":".mubi.com","name":"lt","value":"older","path":"/"},
        {"host":"mubi.com","name":"boxed","value":"1","path":"/","originAttributes":{"userContextId":2}},
        {"host":"mubi.com","name":"apart","value":"1","path":"/","originAttributes":{"partitionKey":"(https,other.test)"}},
        {"host":"evilmubi.com","name":"_mubi_session","value":"EVIL","path":"/"}]}"#;
    for name in [
        "sessionstore.jsonlz4",
        "sessionstore-backups/recovery.jsonlz4",
        "sessionstore-backups/recovery.baklz4",
    ] {
        let home = Home::new();
        ini(&home, "");
        let db = database(&home, "aaaa.default", 17);
        put(&db, ".mubi.com", "lt", "newer", "", END * 1000);
        home.write(&format!("{ROOT}/aaaa.default/{name}"), packed(json));
        let material = take(&home, Browser::Firefox, &Told::default()).unwrap();
        let expected = [
            "_mubi_session=of the session mubi.com/ secure http-only".to_owned(),
            format!("lt=newer .mubi.com/ secure http-only until {END}"),
        ];
        assert_eq!(lines(&material), expected, "{name}");
    }
    // A damaged one costs its own cookies only.
    let whole = packed(json);
    for (name, bytes) in [
        ("cut off", &whole[..whole.len() / 2]),
        ("no magic", &whole[8..]),
        ("empty", b"".as_slice()),
    ] {
        let home = Home::new();
        ini(&home, "");
        let db = database(&home, "aaaa.default", 17);
        put(&db, ".mubi.com", "lt", "L", "", END * 1000);
        home.write(&format!("{ROOT}/aaaa.default/sessionstore.jsonlz4"), bytes);
        let material = take(&home, Browser::Firefox, &Told::default()).unwrap();
        assert_eq!(material.cookies.len(), 1, "{name}");
        assert!(
            material.warnings[0].contains("session is damaged"),
            "{name}"
        );
    }
}

/// Which profile is meant: by name, folder or path, and which without a word.
#[test]
fn profiles() {
    let home = Home::new();
    let install = "[Install4F96D1932A9F858E]\nDefault=bbbb.work\nLocked=1\n";
    ini(&home, install);
    for (profile, value) in [("aaaa.default", "default"), ("bbbb.work", "work")] {
        put(
            &database(&home, profile, 17),
            "mubi.com",
            "s",
            value,
            "",
            END * 1000,
        );
    }
    let path = home.path(&format!("{ROOT}/aaaa.default"));
    let file = path.join("cookies.sqlite");
    let at = |profile: Option<&'static str>| Told {
        profile,
        ..Told::default()
    };
    let of = |told: &Told<'_>| {
        let material = take(&home, Browser::Firefox, told).unwrap();
        String::from_utf8(material.cookies[0].value.expose().clone()).unwrap()
    };
    assert_eq!(
        of(&at(None)),
        "work",
        "what the installation says goes first"
    );
    assert_eq!(of(&at(Some("default"))), "default");
    assert_eq!(of(&at(Some("bbbb.work"))), "work");
    for path in [&path, &file] {
        let told = Told {
            profile: path.to_str(),
            ..Told::default()
        };
        assert_eq!(of(&told), "default");
    }
    assert_eq!(
        said(take(&home, Browser::Firefox, &at(Some("home")))),
        "Firefox has no profile \"home\"; it has \"work\", \"default\" \
         [name one of them, or the profile's folder: --profile PATH]"
    );
    ini(&home, "");
    assert_eq!(of(&at(None)), "default");
    let none = said(take(&Home::new(), Browser::Firefox, &at(None)));
    assert!(
        none.starts_with("there is no profile of Firefox with cookies in /"),
        "{none}"
    );
}
