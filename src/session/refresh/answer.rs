//! What answers of a refresh have in common: cookies, captured fields, expiry.

use std::time::Duration;

use http::header::SET_COOKIE;

use super::{Renewed, http::Answered};
use crate::{
    jar::Jar,
    origin::Origin,
    rule::{Url, jwt},
    secret::Secret,
};

/// How long a server that throttles and does not say how long is left alone.
pub(super) const PUT_OFF: Duration = Duration::from_secs(30);

/// The longest lifetime that is believed, in seconds: ten years.
const LONGEST: f64 = 10.0 * 365.0 * 86_400.0;

/// Takes the cookies of an answer into a jar.
pub(super) fn learn(jar: &mut Jar, origin: &Origin, url: &Url, answered: &Answered) {
    let path = url.path.split('?').next().unwrap_or_default();
    for line in answered.headers.get_all(SET_COOKIE) {
        // What is refused is not there, and what was evicted is found by comparing jars.
        let _ = jar.store(origin, path, line.as_bytes(), answered.at);
    }
}

// === impl Renewed ===

impl Renewed {
    /// Returns what is new in a jar.
    pub(super) fn of_jars(before: &Jar, after: &Jar, answered: &Answered) -> Self {
        let now = answered.at;
        let new = after
            .iter(now)
            .filter(|cookie| before.get(&cookie.key()) != Some(*cookie));
        let gone = before
            .iter(now)
            .map(crate::jar::Cookie::key)
            .filter(|key| after.get(key).is_none());
        Self {
            cookies: new.cloned().collect(),
            removed: gone.collect(),
            skew: answered.skew(),
            ..Self::default()
        }
    }

    /// Returns what an answer does to a jar.
    pub(in crate::session) fn of_answer(before: &Jar, url: &Url, answered: &Answered) -> Self {
        let mut after = before.clone();
        learn(&mut after, &url.origin, url, answered);
        Self::of_jars(before, &after, answered)
    }

    /// Takes captured fields; `expires_in` and `expires_at` among them are the credential's expiry.
    pub(in crate::session) fn take(&mut self, fields: Vec<(String, Secret)>, answered: &Answered) {
        for (name, value) in fields {
            let number = || value.expose().trim().parse::<f64>().ok();
            match name.as_str() {
                "expires_in" => {
                    let seconds = number().filter(|seconds| *seconds > 0.0);
                    let lifetime = seconds.map(|s| Duration::from_secs_f64(s.min(LONGEST)));
                    self.expires_at = lifetime.map(|lifetime| answered.at + lifetime);
                }
                "expires_at" => {
                    let skew = answered.skew().unwrap_or(0) as f64 / 1000.0;
                    self.expires_at = number().and_then(|at| jwt::at(at - skew));
                }
                _ => self.fields.push((name, value)),
            }
        }
    }
}
