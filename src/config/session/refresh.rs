//! How a session is renewed: `refresh`, with the keys of its kind.

use std::time::Duration;

use http::HeaderName;

use super::{
    import,
    inject::is_framing,
    steps::{expect, steps},
    values::fields,
};
use crate::{
    config::{
        read::{At, Keys},
        scalar::OneOrMany,
        tree::Value,
    },
    rule::{
        ClientAuth, Encoding, GrantType, Heartbeat, Oauth2, Refresh, RefreshKind, Url, Verify,
        pointer::Pointer, template::Template,
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Oauth2,
    Http,
    Command,
    Touch,
    Import,
    None,
}

const KINDS: &[(&str, Kind)] = &[
    ("oauth2", Kind::Oauth2),
    ("http", Kind::Http),
    ("command", Kind::Command),
    ("touch", Kind::Touch),
    ("import", Kind::Import),
    ("none", Kind::None),
];

/// Keys that only one kind has.
const OF_KIND: &[(&str, Kind)] = &[
    ("token_url", Kind::Oauth2),
    ("grant_type", Kind::Oauth2),
    ("client_auth", Kind::Oauth2),
    ("encoding", Kind::Oauth2),
    ("params", Kind::Oauth2),
    ("headers", Kind::Oauth2),
    ("answer", Kind::Oauth2),
    ("terminal", Kind::Oauth2),
    ("grace", Kind::Oauth2),
    ("steps", Kind::Http),
    ("command", Kind::Command),
    ("url", Kind::Touch),
    ("from", Kind::Import),
    ("profile", Kind::Import),
    ("container", Kind::Import),
    ("file", Kind::Import),
    ("domain", Kind::Import),
];

pub(super) fn read(keys: &Keys<'_>) -> Refresh {
    let default = Refresh::default();
    let kind_at = keys.at("kind");
    let kind = match &kind_at {
        Some(at) => at.choice(KINDS),
        None => Some(Kind::Oauth2),
    };
    let every = keys.at("every").and_then(|at| positive(&at));
    let refresh = Refresh {
        kind: kind_keys(keys, kind),
        ahead: keys.or("ahead", default.ahead),
        every,
        idle: unless(keys, "idle", "never", default.idle),
        cooldown: keys.or("cooldown", default.cooldown),
        timeout: keys
            .at("timeout")
            .and_then(|at| positive(&at))
            .unwrap_or(default.timeout),
        grace: unless(keys, "grace", "unlimited", default.grace),
        terminal: keys
            .get::<OneOrMany<String>>("terminal")
            .map_or(default.terminal, |list| list.0),
        verify: keys.at("verify").and_then(|at| at.table(verify)?),
    };
    // Keys of other kinds are faults where the kind is chosen; what a provider has for its own is left alone.
    let file = kind_at.map_or(keys.at.node.span.file, |at| at.node.span.file);
    for (key, of) in OF_KIND {
        if let Some(kind) = kind
            && kind != *of
            && keys.span(key).is_some_and(|span| span.file == file)
        {
            let (of, kind) = (word(*of), word(kind));
            keys.fault(
                key,
                format!("`{key}` belongs to kind = \"{of}\", and this one is \"{kind}\""),
                format!("write kind = \"{of}\", or leave the key out"),
            );
        }
    }
    refresh
}

fn word(kind: Kind) -> &'static str {
    let (word, _) = KINDS[kind as usize];
    word
}

/// Asks for the keys of every kind, so that none is unknown, and keeps those of this one.
fn kind_keys(keys: &Keys<'_>, kind: Option<Kind>) -> RefreshKind {
    for (key, _) in OF_KIND {
        keys.at(key);
    }
    let read = match kind {
        Some(Kind::Oauth2) => oauth2(keys).map(RefreshKind::Oauth2),
        Some(Kind::Http) => keys
            .need("steps", "[[session.NAME.refresh.steps]]")
            .map(|at| RefreshKind::Steps(steps(&at))),
        Some(Kind::Command) => keys
            .need("command", "command = [\"prog\", \"argument\"]")
            .and_then(|at| command(&at))
            .map(RefreshKind::Command),
        Some(Kind::Touch) => keys
            .need("url", "url = \"https://www.example.com/\"")
            .and_then(|at| at.get())
            .map(RefreshKind::Touch),
        Some(Kind::Import) => keys
            .need("from", "from = \"firefox\"")
            .and_then(|at| import::read(keys, &at))
            .map(RefreshKind::Import),
        Some(Kind::None) | None => None,
    };
    read.unwrap_or(RefreshKind::None)
}

fn oauth2(keys: &Keys<'_>) -> Option<Oauth2> {
    let token_url = keys.need(
        "token_url",
        "token_url = \"https://auth.example.com/oauth/token\"",
    );
    let grant_type = keys.at("grant_type").and_then(|at| {
        at.choice(&[
            ("refresh_token", GrantType::RefreshToken),
            ("client_credentials", GrantType::ClientCredentials),
            ("jwt_bearer", GrantType::JwtBearer),
            ("password", GrantType::Password),
        ])
    });
    let client_auth = keys.at("client_auth").and_then(|at| {
        at.choice(&[
            ("basic", ClientAuth::Basic),
            ("post", ClientAuth::Post),
            ("none", ClientAuth::None),
        ])
    });
    let encoding = keys
        .at("encoding")
        .and_then(|at| at.choice(&[("form", Encoding::Form), ("json", Encoding::Json)]));
    Some(Oauth2 {
        grant_type: grant_type.unwrap_or(GrantType::RefreshToken),
        client_auth: client_auth.unwrap_or(ClientAuth::Basic),
        encoding: encoding.unwrap_or(Encoding::Form),
        params: keys.at("params").map(|at| texts(&at)).unwrap_or_default(),
        headers: keys
            .at("headers")
            .map(|at| headers(&at))
            .unwrap_or_default(),
        answer: answer(keys),
        token_url: token_url?.get::<Url>()?,
    })
}

/// Templates by name; the names are another system's.
pub(super) fn texts(at: &At<'_>) -> Vec<(String, Template)> {
    let entries = at.entries().unwrap_or_default();
    let text =
        |(entry, at): (&crate::config::tree::Entry, At<'_>)| Some((entry.key.clone(), at.get()?));
    entries.into_iter().filter_map(text).collect()
}

pub(super) fn headers(at: &At<'_>) -> Vec<(HeaderName, Template)> {
    let mut headers = Vec::new();
    for (entry, at) in at.entries().unwrap_or_default() {
        match HeaderName::from_bytes(entry.key.as_bytes()) {
            Ok(name) if is_framing(&name) => at.fault_at(
                entry.key_span,
                format!("`{name}` frames the message or belongs to the connection"),
                "leave it out: it is written as it must be",
            ),
            Ok(name) => headers.extend(at.get().map(|template| (name, template))),
            Err(_) => at.fault_at(
                entry.key_span,
                "not the name of a field",
                "letters, digits and `-`: \"x-api-key\"",
            ),
        }
    }
    headers
}

/// What is taken from a token answer: the standard fields (RFC 6749 §5.1), overridden name by name; an empty list
/// takes one out.
fn answer(keys: &Keys<'_>) -> Vec<(String, Vec<Pointer>)> {
    let standard = ["access_token", "refresh_token", "expires_in"];
    let mut answer: Vec<(String, Vec<Pointer>)> = standard
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), vec![format!("/{name}").parse().ok()?])))
        .collect();
    if let Some(at) = keys.at("answer") {
        for (name, pointers) in fields(&at, |at| at.get::<OneOrMany<Pointer>>()) {
            answer.retain(|(other, _)| *other != name);
            if !pointers.0.is_empty() {
                answer.push((name, pointers.0));
            }
        }
    }
    answer
}

fn command(at: &At<'_>) -> Option<Vec<String>> {
    const HINT: &str = "command = [\"prog\", \"argument\"]: no shell reads it";
    if !matches!(at.node.value, Value::List(_)) {
        return at.mismatch("a list", HINT);
    }
    let mut words: Vec<String> = at.get()?;
    if words.first().is_none_or(|word| word.is_empty()) {
        at.fault("the command is empty", HINT);
        return None;
    }
    if !at.faults.programs.get() {
        at.fault(
            "a configuration found in the current folder may name no command",
            "if the file is yours, name it: --config config.toml, or $STAYSIGNED_CONFIG",
        );
    }
    // A path is relative to the file, as all are; a bare name is looked for in $PATH.
    if let Some(program) = words.first_mut()
        && program.contains('/')
    {
        let path = at.faults.folder.borrow().join(&*program);
        *program = path.display().to_string();
    }
    Some(words)
}

fn verify(keys: &Keys<'_>) -> Option<Verify> {
    let url = keys.need("url", "verify = { url = \"https://api.example.com/me\" }");
    let ok = keys.at("ok").and_then(|at| at.table(expect));
    Some(Verify {
        url: url?.get()?,
        ok: ok.unwrap_or_default(),
    })
}

/// Reads `heartbeat`.
pub(super) fn heartbeats(at: &At<'_>) -> Vec<Heartbeat> {
    let list = at.one_or_many();
    list.iter().filter_map(|at| at.table(heartbeat)?).collect()
}

fn heartbeat(keys: &Keys<'_>) -> Option<Heartbeat> {
    let url = keys.need("url", "url = \"https://api.example.com/me\"");
    let every = keys.need("every", "every = \"10m\"");
    let ok = keys.at("ok").and_then(|at| at.table(expect));
    Some(Heartbeat {
        url: url?.get()?,
        every: every.and_then(|at| positive(&at))?,
        ok: ok.unwrap_or_default(),
    })
}

/// A duration, or the word for none.
fn unless(
    keys: &Keys<'_>,
    key: &'static str,
    word: &str,
    default: Option<Duration>,
) -> Option<Duration> {
    match keys.at(key) {
        Some(at) if at.node.value.is_text(word) => None,
        Some(at) => at.get().or(default),
        None => default,
    }
}

fn positive(at: &At<'_>) -> Option<Duration> {
    let time: Duration = at.get()?;
    if time.is_zero() {
        at.fault("the duration is zero", "at least a second or so");
        return None;
    }
    Some(time)
}
