//! What an answer teaches: pure. Cookies and captured fields against what is held, by the rules of order.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::header::{DATE, SET_COOKIE};

use super::{
    Answer,
    held::{ACCESS_TOKEN, Definition, Held, REFRESH_TOKEN},
};
use crate::{
    grant::{Generation, Grant},
    jar::{Cookie, Jar, Key, Stored},
    life::order::{self, Age},
    rule::jwt,
    secret::Secret,
};

/// The longest lifetime that is believed, in seconds: ten years.
const LONGEST: f64 = 10.0 * 365.0 * 86_400.0;

/// As many cookies are known to have been taught; more than a jar has.
const MOST: usize = 4096;

/// To which generation the answer was that taught each thing.
#[derive(Clone, Debug, Default)]
pub(super) struct Taught {
    /// Of all that is not named: the last refresh, import or restart.
    pub(super) base: Generation,
    cookies: HashMap<Key, Generation>,
    fields: Option<Generation>,
}

/// What is new in an answer.
#[derive(Debug)]
pub(super) struct Lesson {
    pub(super) jar: Arc<Jar>,
    pub(super) grant: Option<Arc<Grant>>,
    pub(super) put: Vec<Cookie>,
    pub(super) remove: Vec<Key>,
    /// Whether the credential has changed.
    pub(super) moves: bool,
    /// Whether the credential or its expiry has.
    pub(super) counts: bool,
    pub(super) new_refresh_token: bool,
    /// A rejected answer has deleted what nothing can renew: it can be restored.
    pub(super) ends: bool,
    pub(super) held_back: Vec<Key>,
    pub(super) skew: Option<i64>,
}

// === impl Taught ===

impl Taught {
    pub(super) fn anew(base: Generation) -> Self {
        Self {
            base,
            ..Self::default()
        }
    }

    fn cookie(&self, key: &Key) -> Generation {
        self.cookies.get(key).copied().unwrap_or(self.base)
    }

    /// Tells whether a cookie that came with an answer to generation `seen` takes the place of the held one. What a
    /// refresh, an import or a start brought came with no answer: the first one to it is newer, whatever the ages.
    fn lets_cookie(&self, key: &Key, seen: Generation, new: Age, held: Age) -> bool {
        match self.cookies.get(key) {
            Some(taught) => order::replaces(seen, *taught, new, held),
            None => seen >= self.base,
        }
    }

    /// As [`lets_cookie`](Self::lets_cookie), for captured fields.
    fn lets_fields(&self, seen: Generation, new: Age, held: Age) -> bool {
        match self.fields {
            Some(taught) => order::replaces(seen, taught, new, held),
            None => seen >= self.base,
        }
    }

    /// Tells whether a cookie that is not held may be set by an answer to generation `seen`: not if one to a newer
    /// generation has removed it.
    fn lets_new(&self, key: &Key, seen: Generation) -> bool {
        self.cookies.get(key).is_none_or(|taught| seen >= *taught)
    }

    /// Notes what another process has learnt: an answer to the generation before this one taught it, or an older one.
    pub(super) fn note_others(
        &mut self,
        before: &Jar,
        after: &Jar,
        generation: Generation,
        now: SystemTime,
    ) {
        let seen = Generation(generation.0.saturating_sub(1));
        for cookie in after.iter(now) {
            let key = cookie.key();
            if before.get(&key).is_none_or(|old| old.value != cookie.value) {
                self.cookies.insert(key, seen);
            }
        }
        for cookie in before.iter(now) {
            let key = cookie.key();
            if after.get(&key).is_none() {
                self.gone(key, seen);
            }
        }
    }

    /// Remembers a removed cookie, so that an older answer does not bring it back; within bounds.
    fn gone(&mut self, key: Key, seen: Generation) {
        if self.cookies.len() >= MOST {
            self.cookies.retain(|_, taught| *taught >= seen);
        }
        self.cookies.insert(key, seen);
    }

    /// Notes that an answer to generation `seen` taught this.
    pub(super) fn note(&mut self, lesson: &Lesson, seen: Generation) {
        let keys = lesson.put.iter().map(Cookie::key);
        for key in keys {
            self.cookies.insert(key, seen);
        }
        for key in &lesson.remove {
            self.gone(key.clone(), seen);
        }
        if lesson.grant.is_some() {
            self.fields = Some(seen);
        }
    }
}

// === impl Lesson ===

impl Lesson {
    /// Reads an answer; `None` if it has nothing new.
    pub(super) fn read(
        held: &Held,
        taught: &Taught,
        definition: &Definition,
        answer: &Answer<'_>,
        now: SystemTime,
    ) -> Option<Self> {
        let mut lesson = Self {
            jar: Arc::clone(&held.jar),
            grant: None,
            put: Vec::new(),
            remove: Vec::new(),
            moves: false,
            counts: false,
            new_refresh_token: false,
            ends: false,
            held_back: Vec::new(),
            skew: None,
        };
        if definition.recipe.cookies.enabled {
            lesson.read_cookies(taught, definition, answer, now);
        }
        if !answer.fields.is_empty() {
            lesson.read_fields(held, taught, answer, now);
        }
        let new = lesson.grant.is_some()
            || !lesson.put.is_empty()
            || !lesson.remove.is_empty()
            || !lesson.held_back.is_empty();
        if !new {
            return None;
        }
        lesson.skew = skew(answer, now);
        Some(lesson)
    }

    fn read_cookies(
        &mut self,
        taught: &Taught,
        definition: &Definition,
        answer: &Answer<'_>,
        now: SystemTime,
    ) {
        let path = answer.about.path_alone();
        for line in answer.headers.get_all(SET_COOKIE) {
            let before = Arc::clone(&self.jar);
            let mut jar = Jar::clone(&before);
            let outcome = jar.store(answer.about.origin, path, line.as_bytes(), now);
            let taken = match outcome.stored {
                Stored::Same | Stored::Refused(_) => false,
                Stored::Changed(key) => {
                    self.set(&before, &jar, key, true, taught, definition, answer)
                }
                Stored::Touched(key) => {
                    self.set(&before, &jar, key, false, taught, definition, answer)
                }
                Stored::Removed(key) => self.delete(key, taught, definition, answer),
            };
            if taken {
                self.jar = Arc::new(jar);
                self.remove.extend(outcome.evicted);
            }
        }
        // What one line set, a later one of the same answer may have replaced or evicted.
        let jar = &self.jar;
        self.put
            .retain(|cookie| jar.get(&cookie.key()) == Some(cookie));
        self.remove.retain(|key| jar.get(key).is_none());
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call, and each is of another kind"
    )]
    fn set(
        &mut self,
        before: &Jar,
        after: &Jar,
        key: Key,
        changed: bool,
        taught: &Taught,
        definition: &Definition,
        answer: &Answer<'_>,
    ) -> bool {
        let Some(new) = after.get(&key) else {
            return false;
        };
        let lets = match before.get(&key) {
            Some(old) => taught.lets_cookie(&key, answer.seen, age(new), age(old)),
            None => taught.lets_new(&key, answer.seen),
        };
        if !lets {
            return false;
        }
        let counts = definition.is_credential(&new.name);
        self.counts |= counts;
        self.moves |= counts && changed && !answer.rejected;
        self.put.push(new.clone());
        true
    }

    fn delete(
        &mut self,
        key: Key,
        taught: &Taught,
        definition: &Definition,
        answer: &Answer<'_>,
    ) -> bool {
        if answer.seen < taught.cookie(&key) {
            return false;
        }
        let counts = definition.is_credential(&key.name);
        if answer.rejected && counts {
            if !definition.never_refreshes() {
                self.held_back.push(key);
                return false;
            }
            self.ends = true;
        }
        self.counts |= counts;
        self.moves |= counts && !answer.rejected;
        self.remove.push(key);
        true
    }

    fn read_fields(&mut self, held: &Held, taught: &Taught, answer: &Answer<'_>, now: SystemTime) {
        let mut grant = Grant::clone(&held.grant);
        let mut expires_at = None;
        let mut changed = Vec::new();
        for (name, value) in &answer.fields {
            match name.as_str() {
                "expires_in" => expires_at = in_seconds(value.expose(), now).or(expires_at),
                "expires_at" => {
                    let at = value.expose().trim().parse().ok().and_then(jwt::at);
                    expires_at = at.and_then(|at| held.on_our_clock(at)).or(expires_at);
                }
                _ if !is_field(value.expose()) || held.grant.field(name) == Some(value) => {}
                _ => {
                    grant.fields.insert(name.clone(), value.clone());
                    changed.push(name.as_str());
                }
            }
        }
        if changed.is_empty() {
            return;
        }
        let token = |grant: &Grant| grant.field(ACCESS_TOKEN).map(|t| jwt::times(t.expose()));
        let times = token(&grant).unwrap_or_default();
        if changed.contains(&ACCESS_TOKEN) || expires_at.is_some() {
            grant.expires_at = expires_at;
        }
        let before = token(&held.grant).unwrap_or_default();
        let new = age_of(times, grant.expires_at);
        let old = age_of(before, held.grant.expires_at);
        if !taught.lets_fields(answer.seen, new, old) {
            return;
        }
        grant.obtained_at = Some(now);
        self.new_refresh_token = changed.contains(&REFRESH_TOKEN);
        self.counts = true;
        self.moves |= !answer.rejected;
        self.grant = Some(Arc::new(grant));
    }
}

/// Tells whether a text can be a field of a grant: what would end a header field cannot.
pub(super) fn is_field(value: &str) -> bool {
    !value.is_empty() && !value.contains(['\r', '\n', '\0'])
}

fn in_seconds(text: &str, now: SystemTime) -> Option<SystemTime> {
    let seconds: f64 = text.trim().parse().ok()?;
    (seconds > 0.0).then(|| now + Duration::from_secs_f64(seconds.min(LONGEST)))
}

fn age(cookie: &Cookie) -> Age {
    let value = std::str::from_utf8(cookie.value.expose()).unwrap_or_default();
    age_of(jwt::times(value), cookie.expires)
}

fn age_of(times: jwt::Times, expires: Option<SystemTime>) -> Age {
    let seconds = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_secs()).ok()
    };
    Age {
        issued: times.issued.and_then(seconds),
        ends: times.expires.and_then(seconds),
        expires,
    }
}

/// Returns how far the server's clock is ahead, by the answer's `Date`; less than its own precision is nothing.
fn skew(answer: &Answer<'_>, now: SystemTime) -> Option<i64> {
    let date = answer.headers.get(DATE)?.to_str().ok()?;
    let date = httpdate::parse_http_date(date).ok()?;
    Some(super::refresh::skew(date, now))
}

/// Takes fields that no header could carry out of what was obtained.
pub(super) fn usable_fields(fields: Vec<(String, Secret)>) -> Vec<(String, Secret)> {
    let mut fields = fields;
    fields.retain(|(_, value)| is_field(value.expose()));
    fields
}
