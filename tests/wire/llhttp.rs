//! llhttp's own cases (`tests/data/llhttp`) as a yardstick: what Node's parser refuses and what it takes, and what becomes
//! of it here. `tests/data/llhttp/VERDICTS.txt` has both for every case, and a reason wherever they differ.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use tokio::io::AsyncWriteExt as _;

use super::requests::{HOST, Place, statuses};
use crate::support::{
    proxy::{Proxy, bearer, proxy},
    raw::{Raw, raw},
    strict::{Read, Strict, strict},
    wire::{Wire, field, status},
};

/// One case.
struct Case {
    /// File and headings.
    name: String,
    bytes: Vec<u8>,
    /// What llhttp says, in the mode of the case.
    theirs: &'static str,
}

fn data() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/llhttp")
}

/// Reads the cases of a folder.
fn cases(folder: &str) -> Vec<Case> {
    let mut files: Vec<_> = fs::read_dir(data().join("test").join(folder))
        .expect("the cases")
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a file of cases");
        let stem = file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name");
        read(&format!("{folder}/{stem}"), &text, &mut cases);
    }
    // The same heading may stand twice.
    let mut seen = BTreeMap::<String, u32>::new();
    for case in &mut cases {
        let count = seen.entry(case.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            case.name = format!("{} ({count})", case.name);
        }
    }
    cases
}

fn read(place: &str, text: &str, cases: &mut Vec<Case>) {
    let (mut heading, mut mode, mut block) = (String::new(), String::new(), None);
    let mut bytes = Vec::new();
    for line in text.lines() {
        match (&mut block, line) {
            (None, "```http" | "```log") => block = Some((line == "```log", String::new())),
            (None, _) if line.starts_with('#') => {
                heading = line.trim_start_matches(['#', ' ']).to_owned();
            }
            (None, _) if line.contains("meta=") => {
                mode = match line.split_once("\"type\":") {
                    Some((_, rest)) => rest.split('"').nth(1).unwrap_or_default().to_owned(),
                    None => String::new(),
                };
            }
            (None, _) => {}
            (Some((false, input)), "```") => {
                bytes = unescape(input);
                block = None;
            }
            (Some((true, log)), "```") => {
                let lenient = mode.contains("lenient");
                let mode = if lenient {
                    format!(" [{mode}]")
                } else {
                    String::new()
                };
                cases.push(Case {
                    name: format!("{place}: {heading}{mode}"),
                    bytes: bytes.clone(),
                    theirs: verdict(log, lenient),
                });
                block = None;
            }
            (Some((_, text)), _) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
}

/// What the log of a case ends with. Pauses (21 to 23) are the parser's callers' wish.
fn verdict(log: &str, lenient: bool) -> &'static str {
    let code = log.lines().find_map(|line| {
        let rest = line.split_once("error code=")?.1;
        rest.split(' ').next()?.parse::<u32>().ok()
    });
    match code {
        None | Some(21..=23) if lenient => "lenient",
        None | Some(21..=23) => "takes",
        Some(_) => "refuses",
    }
}

/// Lines end in CR LF, unless a backslash is before their end; escapes are those of JavaScript.
fn unescape(input: &str) -> Vec<u8> {
    let input = input.strip_suffix('\n').unwrap_or(input);
    let input = input.replace("\\\n", "").replace('\n', "\r\n");
    let mut bytes = Vec::new();
    let mut rest = input.as_str();
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, length) = match after.as_bytes() {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b't', ..] => (b'\t', 1),
            [b'f', ..] => (0xc, 1),
            [b'x', ..] => (
                u8::from_str_radix(&after[1..3], 16).expect("hexadecimal"),
                3,
            ),
            _ => (b'\\', 0),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Every head names our host, and nothing else is changed: otherwise most would be refused for that alone.
fn for_our_host(bytes: &[u8]) -> Vec<u8> {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let mut out = String::new();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (at, line) in lines.iter().enumerate() {
        if line.to_ascii_lowercase().starts_with("host:") {
            continue;
        }
        out.push_str(line);
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        let is_start = words.len() >= 3
            && !words[0].ends_with(':')
            && words
                .last()
                .is_some_and(|last| last.contains('/') && last.contains('.'));
        if is_start && line.ends_with('\n') && at + 1 < lines.len() {
            out.push_str(&format!("Host: {HOST}\r\n"));
        }
    }
    out.chars().map(|c| c as u8).collect()
}

async fn world() -> (Strict, Proxy) {
    let site = strict(HOST).await;
    let plain = format!("{{ scheme = \"http\", host = \"{HOST}\" }}");
    let proxy = proxy()
        .resolve(&format!("{HOST}:80"), site.plain)
        .resolve(&format!("{HOST}:443"), site.tls)
        .bearer("app", HOST, "t1")
        .config(bearer("plain", &plain, "TOKEN_APP"))
        .level("info")
        .config("[limits]\nsilence = \"1s\"\nrequest_head = \"1s\"")
        .start()
        .await;
    (site, proxy)
}

/// What becomes of a request: whether it reached the origin, and whole.
fn of_request(got: &[u16], seen: &[Read]) -> Result<&'static str, String> {
    if let Some(hazard) = seen.iter().find(|read| matches!(read, Read::Hazard(_))) {
        return Err(format!("{hazard:?}"));
    }
    let whole = |read: &&Read| matches!(read, Read::Request(request) if request != "GET /end");
    let whole = seen.iter().filter(whole).count();
    let refused = got.iter().any(|status| *status >= 400);
    let cut = seen.contains(&Read::Cut);
    Ok(match (whole, refused || cut) {
        (0, _) => "refuses",
        (_, false) => "takes",
        (_, true) => "takes the first",
    })
}

fn expected() -> BTreeMap<String, (String, String)> {
    let text = fs::read_to_string(data().join("VERDICTS.txt")).unwrap_or_default();
    let mut expected = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let mut parts = line.splitn(3, " | ");
        let mut next = || parts.next().unwrap_or_default().trim().to_owned();
        expected.insert(next(), (next(), next()));
    }
    expected
}

/// Compares with the table; the lines that it should have are in the message.
fn compare(folder: &str, found: &[(String, &'static str, &'static str)]) {
    let table = expected();
    let mut wrong = Vec::new();
    for (name, theirs, ours) in found {
        let verdicts = format!("{theirs} / {ours}");
        let differ = theirs != ours && !(*theirs == "lenient" && *ours == "refuses");
        match table.get(name) {
            Some((said, reason)) if *said == verdicts && !(differ && reason.is_empty()) => {}
            _ => wrong.push(format!("{name} | {verdicts} |")),
        }
    }
    for name in table.keys().filter(|name| name.starts_with(folder)) {
        if !found.iter().any(|(found, ..)| found == name) {
            wrong.push(format!("there is no case {name}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "not as in the table, or without a reason:\n{}",
        wrong.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn llhttps_requests() {
    let (site, proxy) = world().await;
    let client = proxy.client();
    let (mut found, mut hazards) = (Vec::new(), Vec::new());
    for case in cases("request") {
        let message: String = for_our_host(&case.bytes)
            .iter()
            .map(|b| char::from(*b))
            .collect();
        if !message.starts_with(|first: char| first.is_ascii_alphabetic()) {
            // Not HTTP from its first byte on: it is tunnelled, without a credential.
            found.push((case.name, case.theirs, "tunnels"));
            continue;
        }
        // In TLS it is no other message.
        let mut verdicts = Vec::new();
        for place in [Place::Plain, Place::Https] {
            let got = statuses(place, &client, &message).await;
            match of_request(&got, &site.take()) {
                Ok(ours) => verdicts.push(ours),
                Err(hazard) => hazards.push(format!("{}: {hazard}", case.name)),
            }
        }
        verdicts.dedup();
        assert!(verdicts.len() < 2, "{}: {verdicts:?}", case.name);
        found.extend(verdicts.pop().map(|ours| (case.name, case.theirs, ours)));
    }
    assert!(hazards.is_empty(), "{hazards:#?}");
    compare("request/", &found);
}

async fn scripted(bytes: Vec<u8>) -> Raw {
    let bytes = Arc::new(bytes);
    raw(HOST, move |mut stream, heads| {
        let bytes = bytes.clone();
        async move {
            if heads.read(&mut stream).await.is_some() {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await
}

/// What a client gets of an answer: all of it, its beginning, or a 502 in its place.
async fn of_response(proxy: &Proxy) -> &'static str {
    let mut wire = Wire::https(&proxy.client(), HOST).await;
    wire.send(format!(
        "GET /a HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
    ))
    .await;
    let all = wire.rest().await;
    let mut rest = all.as_str();
    while rest.starts_with("HTTP/1.1 1")
        && let Some((_, behind)) = rest.split_once("\r\n\r\n")
    {
        rest = behind;
    }
    let Some((head, body)) = rest.split_once("\r\n\r\n") else {
        // The break came with the head.
        return "cuts";
    };
    let length = field(head, "content-length").and_then(|length| length.parse::<usize>().ok());
    let whole = match (length, field(head, "transfer-encoding")) {
        (_, Some(_)) => body.ends_with("0\r\n\r\n"),
        (Some(length), None) => body.len() == length,
        (None, None) => true,
    };
    match status(head) {
        502 if field(head, "proxy-status").is_some() => "refuses",
        204 | 304 => "takes",
        _ if whole => "takes",
        _ => "cuts",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn llhttps_responses() {
    let mut found = Vec::new();
    for case in cases("response") {
        let site = scripted(case.bytes).await;
        let proxy = proxy()
            .raw(&site)
            .level("info")
            .memory()
            .bearer("app", HOST, "t1")
            .start()
            .await;
        found.push((case.name, case.theirs, of_response(&proxy).await));
    }
    compare("response/", &found);
}
