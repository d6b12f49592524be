//! What is kept for clients that come with a refresh token which was spent: the last answer of the token endpoint, and
//! by which fingerprints such tokens are known.
//!
//! These are fields of the grant, and so go wherever that goes: sealed, in the same transaction, back with `restore`.
//! No template can name them.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::{Presented, Relay, Relayed, SOON, unstored};
use crate::{
    grant::Grant,
    life::Failure,
    rule::{
        Capture, Source,
        body::{Edit, json, splice},
    },
    secret::Secret,
    session::{
        Session,
        held::{ACCESS_TOKEN, REFRESH_TOKEN},
        refresh::Answered,
    },
};

/// The field of the last answer.
pub(in crate::session) const ANSWER: &str = "(answer)";
/// The field of the fingerprints, the newest last.
const SPENT: &str = "(spent)";

/// As many refresh tokens that were spent are known: who is farther behind has slept for weeks.
const MOST: usize = 64;

/// A longer answer is not kept: who asks again causes a refresh.
const LONGEST: usize = 64 * 1024;

/// Fields that were of that one answer alone.
pub(super) const OF_ITS_TIME: &[HeaderName] = &[
    header::AGE,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::DATE,
    header::SET_COOKIE,
    header::TRANSFER_ENCODING,
];

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    body: Cow<'a, str>,
    /// Whether the refresh token that was spent is another one now.
    rotated: bool,
}

/// A kept answer that is true of what is held.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) relayed: Relayed,
    pub(super) rotated: bool,
}

/// Writes an answer as a field of the grant; `None` if it cannot be kept. `captures` are those that say where clients
/// find their values in it.
pub(in crate::session) fn keep(
    answered: &Answered,
    spent: Option<&Secret>,
    captures: &[Capture],
) -> Option<Secret> {
    let body = std::str::from_utf8(&answered.body).ok()?;
    json::find(&answered.body, "").ok()?;
    let tokens = captures.iter();
    let tokens = tokens.flat_map(|capture| values(capture, REFRESH_TOKEN, &answered.body));
    let token = tokens.last().map(|(_, text)| text);
    let fields = answered.headers.iter();
    let fields = fields.filter(|(name, _)| !OF_ITS_TIME.contains(name));
    let record = Record {
        fields: fields
            .filter_map(|(name, value)| Some((name.as_str().into(), value.to_str().ok()?.into())))
            .collect(),
        body: body.into(),
        rotated: token.is_some() && token.as_ref() != spent.map(Secret::expose),
    };
    let text = serde_json::to_string(&record).ok()?;
    (text.len() <= LONGEST).then(|| text.into())
}

/// Adds a refresh token, by its fingerprint, to those that were spent.
pub(in crate::session) fn spend(grant: &mut Grant, fingerprint: &str) {
    let known = grant.field(SPENT).map(|text| text.expose().clone());
    let known = known.unwrap_or_default();
    let mut all: Vec<&str> = known.split(' ').filter(|one| !one.is_empty()).collect();
    all.retain(|one| *one != fingerprint);
    all.push(fingerprint);
    let last = &all[all.len().saturating_sub(MOST)..];
    grant.fields.insert(SPENT.to_owned(), last.join(" ").into());
}

/// Tells whether a refresh token was spent before, by its fingerprint.
pub(in crate::session) fn was_spent(grant: &Grant, fingerprint: &str) -> bool {
    let known = grant.field(SPENT);
    known.is_some_and(|text| text.expose().split(' ').any(|one| one == fingerprint))
}

/// Returns the kept answer if it brought what is held; `left` is what is left of the credential's life.
pub(super) fn read(grant: &Grant, capture: &Capture, left: Option<Duration>) -> Option<Kept> {
    let record: Record<'_> = serde_json::from_str(grant.field(ANSWER)?.expose()).ok()?;
    let body = record.body.as_bytes();
    for field in [ACCESS_TOKEN, REFRESH_TOKEN] {
        let told = values(capture, field, body);
        let told = told.last().map(|(_, text)| text.as_str());
        let held = grant.field(field).map(|value| value.expose().as_str());
        // An answer may leave out what did not change.
        if told != held && (field == ACCESS_TOKEN || told.is_some()) {
            return None;
        }
    }
    let ends = values(capture, "expires_in", body).into_iter();
    let edits = ends.filter_map(|(span, text)| {
        let seconds = left?.as_secs().to_string();
        let with = if body[span.start] == b'"' {
            json::quote(&seconds)
        } else {
            seconds
        };
        (text != with).then_some(Edit { span, with })
    });
    let body = splice(body, edits.collect())?;
    let mut headers = HeaderMap::new();
    for (name, value) in &record.fields {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).ok()?,
            HeaderValue::from_str(value).ok()?,
        );
    }
    Some(Kept {
        relayed: Relayed {
            status: StatusCode::OK,
            headers,
            body,
            spent: None,
        },
        rotated: record.rotated,
    })
}

/// Returns where a captured field stands in a JSON answer, and its text.
fn values(capture: &Capture, field: &str, body: &[u8]) -> Vec<(std::ops::Range<usize>, String)> {
    let sources = capture.answer.iter().filter(|(name, _)| name == field);
    let pointers = sources.filter_map(|(_, source)| match source {
        Source::Json(pointer) => Some(pointer),
        Source::Header(_) | Source::Cookie(_) | Source::Regex(_) => None,
    });
    let spans = pointers.flat_map(|pointer| {
        let found = json::find(body, pointer.as_str()).unwrap_or_default();
        found.values
    });
    let texts = spans.filter_map(|span| {
        let written = &body[span.clone()];
        let text =
            json::text(written).or_else(|| Some(std::str::from_utf8(written).ok()?.to_owned()));
        Some((span, text?))
    });
    texts.collect()
}

// === impl Session ===

impl Session {
    /// Returns what an earlier refresh brought, for a client that has the token which that one spent.
    pub(super) async fn told_again(&self, relay: &Relay) -> Result<Option<Relayed>, Failure> {
        let presented = self.presented(relay.presented.expose()).await;
        let presented = presented.map_err(unstored)?;
        let Some(current) = self.ready() else {
            return Ok(None);
        };
        let now = self.shared.env.wall();
        let grant = &current.grant;
        let left = match grant.expires_at.map(|end| end.duration_since(now)) {
            Some(Ok(left)) => Some(left),
            // A session that signs outlives its token.
            Some(Err(_)) => return Ok(None),
            None => None,
        };
        let Some(kept) = read(grant, &relay.capture, left) else {
            return Ok(None);
        };
        let recent = || {
            let since = grant.obtained_at.and_then(|at| now.duration_since(at).ok());
            let grace = self.definition.rules.grace.unwrap_or(SOON).min(SOON);
            since.is_some_and(|since| since < grace)
        };
        let spent = match presented {
            Presented::Earlier => kept.rotated || recent(),
            Presented::Current => !kept.rotated && recent(),
            Presented::Foreign => false,
        };
        Ok(spent.then_some(kept.relayed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::rule::sample;

    const BODY: &str = "{ \"access_token\": \"A2\",\n \"refresh_token\":\"R2\", \"expires_in\": 3600, \"user\":{\"id\":1.0} }";

    fn capture() -> Capture {
        let mut capture = sample::capture("https://auth.example/token");
        for name in ["access_token", "refresh_token", "expires_in"] {
            let pointer = format!("/{name}").parse().unwrap();
            capture
                .answer
                .push((name.to_owned(), Source::Json(pointer)));
        }
        capture
    }

    fn grant(access: &str, refresh: &str, spent: &str) -> Grant {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("content-length", "9"),
            ("set-cookie", "a=b"),
            ("x-a", "1"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let answered = Answered {
            status: StatusCode::OK,
            headers,
            body: BODY.into(),
            at: SystemTime::UNIX_EPOCH,
        };
        let mut grant = Grant::default();
        let kept = keep(&answered, Some(&spent.into()), &[capture()]).unwrap();
        for (name, value) in [
            ("access_token", access.into()),
            ("refresh_token", refresh.into()),
            (ANSWER, kept),
        ] {
            grant.fields.insert(name.to_owned(), value);
        }
        grant
    }

    #[test]
    fn it_is_told_again_while_it_is_true() {
        let left = Some(Duration::from_secs(42));
        let kept = read(&grant("A2", "R2", "R1"), &capture(), left).unwrap();
        assert!(kept.rotated);
        let body = String::from_utf8(kept.relayed.body).unwrap();
        assert_eq!(body, BODY.replace("3600", "42"));
        let names: Vec<_> = kept
            .relayed
            .headers
            .keys()
            .map(HeaderName::as_str)
            .collect();
        assert_eq!(names, ["content-type", "x-a"]);
        assert!(
            !read(&grant("A2", "R2", "R2"), &capture(), None)
                .unwrap()
                .rotated
        );
        for (access, refresh) in [("A3", "R2"), ("A2", "R3")] {
            assert!(read(&grant(access, refresh, "R1"), &capture(), left).is_none());
        }
        assert!(read(&Grant::default(), &capture(), left).is_none());
    }

    #[test]
    fn so_many_are_known() {
        let mut grant = Grant::default();
        for number in 0..MOST + 2 {
            spend(&mut grant, &format!("f{number}"));
        }
        spend(&mut grant, "f2");
        for (name, known) in [
            ("f0", false),
            ("f1", false),
            ("f2", true),
            ("f65", true),
            ("", false),
        ] {
            assert_eq!(was_spent(&grant, name), known, "{name}");
        }
        assert!(crate::session::lesson::is_field(
            grant.field(SPENT).unwrap().expose()
        ));
    }

    #[test]
    fn it_is_a_field_like_others() {
        let grant = grant("A2", "R2", "R1");
        let text = grant.field(ANSWER).unwrap().expose();
        assert!(crate::session::lesson::is_field(text), "{text}");
    }
}
