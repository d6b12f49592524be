//! Records as bytes, before they are sealed: JSON with names that stay, so that a later version can add fields.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};

use super::{Attempt, CameOf, Notes, seal};
use crate::{
    grant::{Generation, Grant},
    jar::{Cookie, SameSite},
    life::cooldown::Note,
    secret::Secret,
};

/// Something that a store keeps as one record.
pub(super) trait Record: Sized {
    /// Returns the record as bytes, in a buffer with room for sealing.
    fn to_bytes(&self) -> Vec<u8>;
    /// Returns the record of these bytes, `None` if they are none.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// Seconds and nanoseconds since 1970; the nanoseconds count forward also before it.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Time(i64, u32);

#[derive(Serialize, Deserialize)]
struct GrantRecord<'a> {
    fields: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    expires_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    obtained_at: Option<Time>,
}

/// Names and values of cookies are bytes, and JSON has none: base64.
#[derive(Serialize, Deserialize)]
struct CookieRecord<'a> {
    name: Cow<'a, str>,
    value: Cow<'a, str>,
    domain: Cow<'a, str>,
    path: Cow<'a, str>,
    #[serde(skip_serializing_if = "is_false", default)]
    host_only: bool,
    #[serde(skip_serializing_if = "is_false", default)]
    secure: bool,
    #[serde(skip_serializing_if = "is_false", default)]
    http_only: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    same_site: Option<SameSiteRecord>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    expires: Option<Time>,
    created: Time,
    #[serde(skip_serializing_if = "is_false", default)]
    assumed: bool,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SameSiteRecord {
    Strict,
    Lax,
    None,
}

#[derive(Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct NotesRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<AttemptRecord<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    calls: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    came_of: Option<CameOfRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needs_login: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vain: Option<VainRecord>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    confirmed: Texts<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    taken: Texts<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refresh: Option<(Time, Cow<'a, str>, u64)>,
}

#[derive(Serialize, Deserialize)]
struct VainRecord {
    at: Time,
    generation: u64,
    shown: bool,
}

#[derive(Serialize, Deserialize)]
struct AttemptRecord<'a> {
    token: Cow<'a, str>,
    generation: u64,
    started: Time,
    #[serde(default, skip_serializing_if = "is_zero")]
    call: u64,
}

#[derive(Serialize, Deserialize)]
struct CameOfRecord<'a> {
    call: u64,
    spent: Cow<'a, str>,
    brought: Cow<'a, str>,
}

// === impl Record ===

impl Record for Grant {
    fn to_bytes(&self) -> Vec<u8> {
        let Self {
            fields,
            expires_at,
            obtained_at,
        } = self;
        let secrets: usize = fields.iter().map(|(k, v)| k.len() + v.expose().len()).sum();
        let record = GrantRecord {
            fields: fields
                .iter()
                .map(|(name, value)| (name.into(), value.expose().into()))
                .collect(),
            expires_at: expires_at.map(Time::from),
            obtained_at: obtained_at.map(Time::from),
        };
        json(&record, 2 * secrets)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let GrantRecord {
            fields,
            expires_at,
            obtained_at,
        } = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            fields: fields
                .into_iter()
                .map(|(name, value)| (name.into_owned(), Secret::new(value.into_owned())))
                .collect(),
            expires_at: time(expires_at)?,
            obtained_at: time(obtained_at)?,
        })
    }
}

impl Record for Cookie {
    fn to_bytes(&self) -> Vec<u8> {
        let Self {
            name,
            value,
            domain,
            path,
            host_only,
            secure,
            http_only,
            same_site,
            expires,
            created,
            assumed,
        } = self;
        let value = Secret::new(BASE64.encode(value.expose()));
        let record = CookieRecord {
            name: BASE64.encode(name).into(),
            value: value.expose().into(),
            domain: domain.into(),
            path: path.into(),
            host_only: *host_only,
            secure: *secure,
            http_only: *http_only,
            same_site: same_site.map(SameSiteRecord::from),
            expires: expires.map(Time::from),
            created: Time::from(*created),
            assumed: *assumed,
        };
        let texts = record.name.len() + record.value.len() + domain.len() + path.len();
        json(&record, texts)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let CookieRecord {
            name,
            value,
            domain,
            path,
            host_only,
            secure,
            http_only,
            same_site,
            expires,
            created,
            assumed,
        } = serde_json::from_slice(bytes).ok()?;
        let value = Secret::new(value.into_owned());
        Some(Self {
            name: BASE64.decode(&*name).ok()?,
            value: Secret::new(BASE64.decode(value.expose()).ok()?),
            domain: domain.into_owned(),
            path: path.into_owned(),
            host_only,
            secure,
            http_only,
            same_site: same_site.map(SameSite::from),
            expires: time(expires)?,
            created: created.into_system()?,
            assumed,
        })
    }
}

impl Record for Notes {
    fn to_bytes(&self) -> Vec<u8> {
        let Self {
            attempt,
            calls,
            came_of,
            needs_login,
            vain,
            confirmed,
            taken,
            last_refresh,
        } = self;
        let record = NotesRecord {
            attempt: attempt.as_ref().map(|attempt| AttemptRecord {
                token: attempt.token.as_str().into(),
                generation: attempt.generation.0,
                started: attempt.started.into(),
                call: attempt.call,
            }),
            calls: *calls,
            came_of: came_of.as_ref().map(|came_of| CameOfRecord {
                call: came_of.call,
                spent: came_of.spent.as_str().into(),
                brought: came_of.brought.as_str().into(),
            }),
            needs_login: needs_login.as_deref().map(Into::into),
            vain: vain.map(|note| VainRecord {
                at: note.at.into(),
                generation: note.generation.0,
                shown: note.shown,
            }),
            confirmed: borrowed(confirmed),
            taken: borrowed(taken),
            last_refresh: last_refresh
                .as_ref()
                .map(|(at, result, took)| (Time::from(*at), result.as_str().into(), *took)),
        };
        json(&record, 100 * (confirmed.len() + taken.len()))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let NotesRecord {
            attempt,
            calls,
            came_of,
            needs_login,
            vain,
            confirmed,
            taken,
            last_refresh,
        } = serde_json::from_slice(bytes).ok()?;
        let attempt = match attempt {
            None => None,
            Some(attempt) => Some(Attempt {
                token: attempt.token.into_owned(),
                generation: Generation(attempt.generation),
                started: attempt.started.into_system()?,
                call: attempt.call,
            }),
        };
        let vain = match vain {
            None => None,
            Some(VainRecord {
                at,
                generation,
                shown,
            }) => Some(Note {
                at: at.into_system()?,
                generation: Generation(generation),
                shown,
            }),
        };
        let last_refresh = match last_refresh {
            None => None,
            Some((at, result, took)) => Some((at.into_system()?, result.into_owned(), took)),
        };
        Some(Self {
            attempt,
            calls,
            came_of: came_of.map(|came_of| CameOf {
                call: came_of.call,
                spent: came_of.spent.into_owned(),
                brought: came_of.brought.into_owned(),
            }),
            needs_login: needs_login.map(Cow::into_owned),
            vain,
            confirmed: owned(confirmed),
            taken: owned(taken),
            last_refresh,
        })
    }
}

// === impl Time ===

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        let seconds = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self(seconds(after), after.subsec_nanos()),
            Err(before) => {
                let before = before.duration();
                match before.subsec_nanos() {
                    0 => Self(-seconds(before), 0),
                    nanos => Self(-seconds(before) - 1, 1_000_000_000 - nanos),
                }
            }
        }
    }
}

impl Time {
    fn into_system(self) -> Option<SystemTime> {
        let Self(seconds, nanos) = self;
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let time = if seconds < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(whole)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(whole)
        };
        time?.checked_add(Duration::from_nanos(nanos.into()))
    }
}

impl From<SameSite> for SameSiteRecord {
    fn from(same_site: SameSite) -> Self {
        match same_site {
            SameSite::Strict => Self::Strict,
            SameSite::Lax => Self::Lax,
            SameSite::None => Self::None,
        }
    }
}

impl From<SameSiteRecord> for SameSite {
    fn from(same_site: SameSiteRecord) -> Self {
        match same_site {
            SameSiteRecord::Strict => Self::Strict,
            SameSiteRecord::Lax => Self::Lax,
            SameSiteRecord::None => Self::None,
        }
    }
}

type Texts<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

fn borrowed(map: &BTreeMap<String, String>) -> Texts<'_> {
    map.iter().map(|(k, v)| (k.into(), v.into())).collect()
}

fn owned(map: Texts<'_>) -> BTreeMap<String, String> {
    map.into_iter()
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect()
}

/// The outer `None`: a time that cannot be.
#[expect(clippy::option_option)]
fn time(time: Option<Time>) -> Option<Option<SystemTime>> {
    match time {
        None => Some(None),
        Some(time) => time.into_system().map(Some),
    }
}

/// Writes JSON into a buffer that is large enough as a rule: growing would leave a copy of the secrets behind.
fn json(record: &impl Serialize, texts: usize) -> Vec<u8> {
    let mut bytes = seal::buffer(texts + 512);
    serde_json::to_writer(&mut bytes, record).expect("texts and numbers are JSON");
    bytes
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}
