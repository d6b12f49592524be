//! Files that cannot be read: one clear error that names the file, and what can be read all the same.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use super::{
    chromium::{database, peanuts, put, seal},
    *,
};

const COOKIES: &str = ".config/chromium/Default/Cookies";

fn refused(content: &[u8]) -> String {
    let home = Home::new();
    home.write(COOKIES, content);
    said(take(&home, Browser::Chromium, &Told::default()))
}

fn whole(rows: usize) -> (Home, Vec<u8>) {
    let home = Home::new();
    let db = database(&home, "Default/Cookies", 24);
    db.execute_batch("BEGIN").unwrap();
    for n in 0..rows {
        let value = seal("v10", &peanuts(), Some("mubi.com"), &[b'v'; 900]);
        put(&db, "mubi.com", &format!("name{n}"), &value);
    }
    db.execute_batch("COMMIT").unwrap();
    drop(db);
    let bytes = fs::read(home.path(COOKIES)).unwrap();
    (home, bytes)
}

/// 4.3.9: files that are no databases of cookies.
#[test]
fn no_database() {
    let (_home, bytes) = whole(10);
    for (name, content) in [
        ("empty", &b""[..]),
        ("text", b"# Netscape HTTP Cookie File\n"),
        ("long text", &[b'x'; 8192]),
        ("the beginning of one", &bytes[..100]),
        ("one page of one", &bytes[..4096]),
    ] {
        let said = refused(content);
        assert!(
            said.contains("chromium/Default/Cookies is damaged or cut off"),
            "{name}: {said}"
        );
    }
    let home = Home::new();
    let path = home.path(COOKIES);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE other (a)")
        .unwrap();
    assert!(said(take(&home, Browser::Chromium, &Told::default())).contains("no such table: meta"));
}

/// A hundred megabytes are refused before they are read; a pipe, before it is opened.
#[test]
fn no_file() {
    let home = Home::new();
    home.write(COOKIES, b"");
    let file = fs::File::options()
        .write(true)
        .open(home.path(COOKIES))
        .unwrap();
    file.set_len(100 << 20).unwrap();
    let large = said(take(&home, Browser::Chromium, &Told::default()));
    assert!(large.contains("Cookies is larger than 64 MiB"), "{large}");
    fs::remove_file(home.path(COOKIES)).unwrap();
    let made = Command::new("mkfifo").arg(home.path(COOKIES)).status();
    assert!(made.unwrap().success());
    let pipe = said(take(&home, Browser::Chromium, &Told::default()));
    assert!(pipe.contains("Cookies is no file"), "{pipe}");
}

/// 4.3.9: a damaged page costs its own rows.
#[test]
fn a_damaged_page() {
    let (home, mut bytes) = whole(170);
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xff);
    home.write(COOKIES, &bytes);
    let material = take(&home, Browser::Chromium, &Told::default()).unwrap();
    assert!(material.cookies.len() > 100, "{}", material.cookies.len());
    let lost = "the browser's database is damaged, and some cookies could not be read";
    assert!(material.warnings.iter().any(|warning| warning == lost));
}

/// 4.3.9: a browser that holds the database for itself, in the middle of a change: what was there before counts.
#[test]
fn locked_in_the_middle_of_a_change() {
    let home = Home::new();
    let db = database(&home, "Default/Cookies", 24);
    put(
        &db,
        "mubi.com",
        "s",
        &seal("v10", &peanuts(), Some("mubi.com"), b"before"),
    );
    drop(db);
    // Another process: locks of one process do not count within it.
    let script = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.executescript('PRAGMA cache_size = 1; BEGIN EXCLUSIVE; UPDATE cookies SET name = \"changed\"')
for n in range(2000):
    db.execute('INSERT INTO cookies (host_key, name, value, expires_utc) VALUES (\"mubi.com\", ?, ?, 0)', (n, 'v' * 200))
print('locked', flush=True)
sys.stdin.read()";
    let mut other = Command::new("python3")
        .args(["-c", script])
        .arg(home.path(COOKIES))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut line = String::new();
    let mut stdout = BufReader::new(other.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    let journal = home.path(&format!("{COOKIES}-journal"));
    assert!(
        fs::metadata(journal).unwrap().len() > 512,
        "the change has reached the file"
    );
    let material = take(&home, Browser::Chromium, &Told::default()).unwrap();
    assert_eq!(material.cookies.len(), 1);
    assert_eq!(material.cookies[0].name, b"s");
    drop(other.stdin.take());
    other.wait().unwrap();
}
