//! What we export, as the tools themselves load it: curl, wget, aria2 and Python send the cookies they should, and
//! what curl and wget write in their own dialect is read back.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::Command,
    thread,
    time::SystemTime,
};

use staysigned::{
    export,
    grant::Grant,
    import,
    jar::{Bounds, Cookie, Jar},
    limits::Limits,
    origin::{Origin, Scheme},
};

use crate::support::{
    child::joined,
    tool::{find, output},
};

/// Loads the file as most Python tools do, without asking for session cookies, and sends a request.
const PYTHON: &str = "
import sys, http.cookiejar, urllib.request as r
jar = http.cookiejar.MozillaCookieJar(sys.argv[1])
jar.load()
r.build_opener(r.ProxyHandler({}), r.HTTPCookieProcessor(jar)).open(sys.argv[2]).read()
";

fn jar(url: &str, fields: &[&str]) -> Jar {
    let mut jar = Jar::new(Bounds::from(&Limits::default()));
    let origin: Origin = url.parse().unwrap();
    for field in fields {
        let _ = jar.store(&origin, "/", field.as_bytes(), SystemTime::now());
    }
    assert_eq!(jar.len(), fields.len());
    jar
}

fn write(jar: &Jar, file: &Path) {
    let cookies: Vec<_> = jar.iter(SystemTime::now()).collect();
    let written = export::write(export::Kind::CookiesTxt, &cookies, &Grant::default()).unwrap();
    std::fs::write(file, written.text.expose()).unwrap();
}

fn read(file: &Path) -> Vec<Cookie> {
    let options = import::Options {
        hosts: Vec::new(),
        domain: None,
        scheme: Scheme::Https,
        bounds: Bounds::from(&Limits::default()),
        now: SystemTime::now(),
        password: None,
        key: None,
        values: Default::default(),
    };
    let text = std::fs::read(file).unwrap();
    let material = import::read(import::Kind::CookiesTxt, &text, &options).unwrap();
    assert_eq!(material.warnings, Vec::<String>::new());
    material.cookies
}

/// Returns the cookies that a tool sends to a server on this machine, in the order of the alphabet.
fn sent(program: &str, arguments: &dyn Fn(&str) -> Vec<String>) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/dir/page", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let mut cookies = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim_end() {
                "" => break,
                line => {
                    let field = line.strip_prefix("Cookie: ").unwrap_or_default();
                    // aria2 leaves out the space.
                    cookies.extend(field.split(';').map(|pair| pair.trim().to_owned()));
                }
            }
        }
        (&stream)
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            .unwrap();
        cookies.retain(|cookie| !cookie.is_empty());
        cookies.sort();
        cookies
    });
    run(program, &arguments(&url));
    joined("the tool asks", server)
}

fn run(program: &str, arguments: &[String]) {
    let mut command = Command::new(find(program));
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    let output = output(command.args(arguments));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
}

#[test]
fn tools_send_what_we_export() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cookies.txt");
    let file = path.to_str().unwrap();
    let fields = [
        "sid=a.b==; HttpOnly; Max-Age=600; Path=/",
        "theme=\"dark mode\"; Path=/dir",
        "elsewhere=1; Path=/other",
    ];
    write(&jar("http://127.0.0.1", &fields), &path);
    let expected = ["sid=a.b==", "theme=\"dark mode\""];
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let out = folder.path().to_str().unwrap();
    let curl = |url: &str| words(&format!("-sS -o /dev/null -b {file} {url}"));
    assert_eq!(sent("curl", &curl), expected);
    let wget = |url: &str| words(&format!("-q -O /dev/null --load-cookies {file} {url}"));
    assert_eq!(sent("wget", &wget), expected);
    let aria2 = |url: &str| words(&format!("-q -d {out} -o page --load-cookies={file} {url}"));
    assert_eq!(sent("aria2c", &aria2), expected);
    let python = |url: &str| ["-c", PYTHON, file, url].map(str::to_owned).to_vec();
    assert_eq!(sent("python3", &python), expected);
}

#[test]
fn what_curl_and_wget_write_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (
        folder.path().join("ours.txt"),
        folder.path().join("theirs.txt"),
    );
    let fields = [
        "sid=v; Domain=example.com; Secure; HttpOnly; Max-Age=600",
        "__Host-x=1; Secure; Path=/; Max-Age=600",
        "empty=; Max-Age=600",
        "session=v",
    ];
    let jar = jar("https://www.example.com", &fields);
    write(&jar, &ours);
    let alike = |cookies: &[Cookie], http_only: bool| {
        let mut lines: Vec<_> = cookies
            .iter()
            .map(|c| {
                let flags = (c.host_only, c.secure, c.http_only && http_only);
                let expires = c.expires.map(|at| {
                    let since = at.duration_since(SystemTime::UNIX_EPOCH);
                    since.unwrap().as_secs()
                });
                let name = String::from_utf8(c.name.clone()).unwrap();
                let value = c.value.expose().clone();
                (
                    name,
                    value,
                    c.domain.clone(),
                    c.path.clone(),
                    flags,
                    expires,
                )
            })
            .collect();
        lines.sort();
        lines
    };
    let cookies: Vec<_> = jar.iter(SystemTime::now()).cloned().collect();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let argument = |name: &str, file: &Path| [name.to_owned(), path(file)];

    let curl = [argument("-b", &ours), argument("-c", &theirs)].concat();
    run(
        "curl",
        &[curl, vec!["file:///dev/null".to_owned()]].concat(),
    );
    assert_eq!(alike(&read(&theirs), true), alike(&cookies, true));

    let wget = [
        argument("--load-cookies", &ours),
        argument("--save-cookies", &theirs),
    ]
    .concat();
    let more = ["-q", "-O", "/dev/null", "--keep-session-cookies"].map(str::to_owned);
    assert_eq!(
        sent("wget", &|url| [&wget[..], &more, &[url.to_owned()]]
            .concat()),
        Vec::<String>::new()
    );
    // wget knows no HttpOnly.
    assert_eq!(alike(&read(&theirs), false), alike(&cookies, false));
}
