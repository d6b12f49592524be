//! What tests of drafted providers have in common: a draft, a folder in which it is used, and what must not be in it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::proxy::{Builder, Proxy, proxy};

pub(super) fn draft(har: &str) -> (String, String) {
    let folder = proxy().prepare();
    let output = folder.cli_with(&["provider", "new", "--from-har", "-"], har);
    assert!(output.status.success(), "{output:?}");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// The recording, as if it were of this minute: its cookies last a quarter of an hour.
pub(super) fn just_now(har: &str) -> String {
    let format = time::format_description::well_known::Rfc3339;
    let now = time::OffsetDateTime::now_utc().format(&format).unwrap();
    let minute = now.split_at(17).0;
    har.replace("2026-11-20T10:00:", minute)
}

/// A folder in which the draft is the provider of a session as its own head says.
pub(super) fn with(draft: &str, name: &str) -> Proxy {
    prepared(proxy(), draft, name)
}

pub(super) fn prepared(builder: Builder, draft: &str, name: &str) -> Proxy {
    let head = draft.lines().filter_map(|line| line.strip_prefix("#     "));
    let session: Vec<&str> = head.collect();
    assert!(session.len() >= 2, "{draft}");
    let names = ["refresh_token", "client_secret"].map(str::to_ascii_uppercase);
    let builder = names
        .iter()
        .fold(builder, |builder, name| builder.env(name, "from elsewhere"));
    let proxy = builder.config(session.join("\n")).prepare();
    std::fs::create_dir(proxy.path().join("providers")).unwrap();
    std::fs::write(proxy.path().join(format!("providers/{name}.toml")), draft).unwrap();
    proxy
}

pub(super) fn checked(proxy: &Proxy) {
    let output = proxy.cli(&["check"]);
    let said = [&*output.stdout, &*output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("warning"), "{said}");
}

/// The values that somebody would not show: of cookies, of `Authorization`, of bodies, and parts of paths that are one.
fn values(har: &str) -> BTreeSet<String> {
    let har: Value = serde_json::from_str(har).unwrap();
    let mut values = BTreeSet::new();
    for entry in har["log"]["entries"].as_array().unwrap() {
        for message in [&entry["request"], &entry["response"]] {
            for field in message["headers"].as_array().unwrap() {
                let name = field["name"].as_str().unwrap().to_ascii_lowercase();
                let value = field["value"].as_str().unwrap();
                match name.as_str() {
                    "cookie" | "set-cookie" => {
                        let pairs = value
                            .split([';', '\n'])
                            .filter_map(|pair| pair.split_once('='));
                        let attributes = ["path", "domain", "max-age", "expires", "samesite"];
                        let pairs = pairs.filter(|(name, _)| {
                            !attributes.contains(&name.trim().to_ascii_lowercase().as_str())
                        });
                        values.extend(pairs.map(|(_, value)| value.trim().to_owned()));
                    }
                    "authorization" => {
                        values.extend(value.split(' ').skip(1).map(str::to_owned));
                    }
                    name if name.starts_with("x-") => drop(values.insert(value.to_owned())),
                    _ => {}
                }
            }
        }
        let sent = entry["request"]["postData"]["text"]
            .as_str()
            .unwrap_or_default();
        let got = entry["response"]["content"]["text"]
            .as_str()
            .unwrap_or_default();
        for text in [sent, got] {
            strings(&serde_json::from_str(text).unwrap_or_default(), &mut values);
        }
        if !sent.starts_with('{') {
            let form = form_urlencoded::parse(sent.as_bytes());
            let public = ["grant_type", "scope"];
            let form = form.filter(|(name, _)| !public.contains(&&**name));
            values.extend(form.map(|(_, value)| value.into_owned()));
        }
        let url = entry["request"]["url"].as_str().unwrap();
        let parts = url.split(['/', '?', '&', '=', '#']).skip(3);
        let odd = |part: &&str| part.bytes().filter(u8::is_ascii_digit).count() > 3;
        values.extend(parts.filter(odd).map(str::to_owned));
    }
    values.retain(|value| value.len() > 7);
    values
}

fn strings(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(into.insert(text.clone())),
        Value::Array(all) => all.iter().for_each(|value| strings(value, into)),
        Value::Object(all) => all
            .iter()
            .filter(|(name, _)| !["scope", "token_type"].contains(&name.as_str()))
            .for_each(|(_, value)| strings(value, into)),
        _ => {}
    }
}

pub(super) fn has_lines(draft: &str, lines: &[&str]) {
    for line in lines {
        assert!(draft.lines().any(|it| it == *line), "no {line} in\n{draft}");
    }
}

pub(super) fn holds_no_value(draft: &str, har: &str, least: usize) {
    let values = values(har);
    assert!(values.len() >= least, "{values:?}");
    for value in values {
        assert!(!draft.contains(&value), "{value} is in\n{draft}");
    }
}
