//! What a text is that is not what it was said to be, so that the error can name the right `--from`.

use std::fmt;

use super::{
    Kind,
    json::{Top, top},
};

/// What a text is instead of what it was said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Kind(Kind),
    /// A browser's own.
    Database,
    Page,
    Bytes,
    Something,
}

/// Tells what a text looks like.
pub(super) fn sniff(text: &[u8]) -> Found {
    if text.starts_with(b"SQLite format 3\0") {
        return Found::Database;
    }
    let Ok(text) = std::str::from_utf8(text) else {
        return Found::Bytes;
    };
    let text = text.trim_start();
    match text.as_bytes().first() {
        Some(b'{' | b'[') => match top(text.as_bytes()) {
            Ok(Top::Object(entries)) => of_keys(&entries),
            Ok(Top::Array(_)) => Found::Kind(Kind::Json),
            Err(_) => Found::Something,
        },
        Some(b'<') => Found::Page,
        _ if text.starts_with("curl ") => Found::Kind(Kind::Curl),
        _ if text.starts_with("gAAAA") => Found::Kind(Kind::Fernet),
        _ if text.starts_with("# Netscape") || text.starts_with("# HTTP Cookie") => {
            Found::Kind(Kind::CookiesTxt)
        }
        _ if text.lines().any(|line| line.split('\t').count() >= 6) => {
            Found::Kind(Kind::CookiesTxt)
        }
        _ if text.lines().any(is_field) => Found::Kind(Kind::Header),
        _ => Found::Something,
    }
}

fn of_keys(entries: &[(String, serde_json::Value)]) -> Found {
    let value = |name: &str| entries.iter().find(|(key, _)| key == name).map(|(_, v)| v);
    let has = |name: &str| value(name).is_some();
    let supabase = |name: &str| name.starts_with("sb-") && name.contains("-auth-token");
    Found::Kind(
        if value("log").is_some_and(|log| log["entries"].is_array()) {
            Kind::Har
        } else if has("adp_token") || has("ciphertext") && has("salt") {
            Kind::Audible
        } else if value("cookies").is_some_and(serde_json::Value::is_array) {
            Kind::StorageState
        } else if entries.iter().any(|(key, _)| supabase(key)) {
            Kind::Supabase
        } else {
            Kind::Json
        },
    )
}

fn is_field(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default();
    ["cookie", "set-cookie", "authorization"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known) && line.len() > name.len())
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind(Kind::Json) => "JSON",
            Self::Kind(Kind::CookiesTxt) => "a cookies.txt",
            Self::Kind(Kind::StorageState) => "a storage state",
            Self::Kind(Kind::Audible) => "an auth file of the audible library",
            Self::Kind(Kind::Supabase) => "a Supabase session",
            Self::Kind(Kind::Fernet) => "a Fernet token",
            Self::Kind(Kind::Header) => "fields of a request",
            Self::Kind(Kind::Curl) => "a curl command",
            Self::Kind(Kind::Har) => "a HAR recording",
            Self::Database => "a database, as browsers have them",
            Self::Page => "a web page",
            Self::Bytes => "no text",
            Self::Something => "not in the shape that was expected",
        })
    }
}

// === impl Found ===

impl Found {
    pub(super) fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::Kind(Kind::Json) => "use --from json",
            Self::Kind(Kind::CookiesTxt) => "use --from cookies-txt",
            Self::Kind(Kind::StorageState) => "use --from storage-state",
            Self::Kind(Kind::Audible) => "use --from audible",
            Self::Kind(Kind::Supabase) => "use --from supabase",
            Self::Kind(Kind::Fernet) => "use --from fernet",
            Self::Kind(Kind::Header) => "use --from header",
            Self::Kind(Kind::Curl) => "use --from curl",
            Self::Kind(Kind::Har) => "use --from har",
            Self::Database => {
                "use --from firefox, chromium or another browser, which finds its files by itself"
            }
            Self::Page => {
                "what was saved is a page, maybe one that asks to sign in; export it again"
            }
            Self::Bytes | Self::Something => return None,
        })
    }
}
