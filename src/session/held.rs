//! What a session holds, and how decisions see it: whether it is whole, when it ends, what a refresh would spend.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    grant::{Generation, Grant},
    jar::{Bounds, Jar},
    life::{self, Holding, What},
    rule::{
        GrantType, Recipe, RefreshKind,
        inject::{self, Ready},
        jwt,
        sign::Sign,
        template::{self, Scope, Template},
    },
    secret::Secret,
    store::{Notes, SessionId, Store, Stored},
};

/// The field that a refresh spends (RFC 6749 §6).
pub(super) const REFRESH_TOKEN: &str = "refresh_token";
pub(super) const ACCESS_TOKEN: &str = "access_token";

/// What a session is by configuration.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    /// Without its seeds: what the server rotates comes from the grant alone.
    pub(super) recipe: Arc<Recipe>,
    pub(super) rules: life::Rules,
    pub(super) bounds: Bounds,
    pub(super) seeds: Arc<[(String, Secret)]>,
}

/// What a session holds; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) generation: Generation,
    pub(super) grant: Arc<Grant>,
    pub(super) jar: Arc<Jar>,
    pub(super) notes: Arc<Notes>,
    /// The fingerprint of the refresh token.
    pub(super) token: Option<String>,
    /// When an answer last taught something that counts.
    pub(super) learnt_at: Option<SystemTime>,
    /// How far the server's clock is ahead of ours, in milliseconds.
    pub(super) skew: i64,
    /// The server's expiry makes no sense: it had passed when the answer came.
    pub(super) ageless: bool,
}

/// What can be said of what is held.
pub(super) struct View {
    pub(super) holding: Holding,
    /// The injections, if the credential is whole.
    pub(super) ready: Option<Arc<[Ready]>>,
}

// === impl Definition ===

impl Definition {
    pub(super) fn is_one_time(&self) -> bool {
        match &self.recipe.refresh.kind {
            RefreshKind::Oauth2(oauth2) => oauth2.grant_type == GrantType::RefreshToken,
            // Clients spend it.
            RefreshKind::None => self.clients_refresh(),
            RefreshKind::Touch(_)
            | RefreshKind::Command(_)
            | RefreshKind::Steps(_)
            | RefreshKind::Import(_) => false,
        }
    }

    /// Tells whether clients refresh by themselves, with what stands in their requests.
    pub(super) fn clients_refresh(&self) -> bool {
        let captures = self.recipe.captures.iter();
        captures
            .flat_map(|capture| &capture.request)
            .any(|(field, _)| field == REFRESH_TOKEN)
    }

    /// Tells whether a change of this cookie is a change of the credential.
    pub(super) fn is_credential(&self, cookie: &[u8]) -> bool {
        let required = &self.recipe.cookies.required;
        required.is_empty() || required.iter().any(|name| name.as_bytes() == cookie)
    }

    /// Tells whether no refresh, ours or a client's, will ever say whether a rejection was one.
    pub(super) fn never_refreshes(&self) -> bool {
        matches!(self.recipe.refresh.kind, RefreshKind::None) && self.recipe.captures.is_empty()
    }

    pub(super) fn jar(&self, stored: &Stored) -> Jar {
        Jar::restore(self.bounds, stored.cookies.clone())
            .keeping(self.recipe.cookies.required.iter())
    }

    pub(super) fn fingerprint(
        &self,
        store: &Store,
        id: &SessionId,
        grant: &Grant,
    ) -> Option<String> {
        if !self.is_one_time() {
            return None;
        }
        let token = grant.field(REFRESH_TOKEN)?;
        Some(self.fingerprint_of(store, id, token.expose()))
    }

    /// Returns a refresh token's fingerprint.
    pub(super) fn fingerprint_of(&self, store: &Store, id: &SessionId, token: &str) -> String {
        store.fingerprint(&format!("refresh {id}"), token.as_bytes())
    }
}

// === impl Held ===

impl Held {
    pub(super) fn nothing(definition: &Definition, generation: Generation) -> Self {
        let stored = Stored::default();
        Self {
            generation,
            grant: Arc::default(),
            jar: Arc::new(definition.jar(&stored)),
            notes: Arc::default(),
            token: None,
            learnt_at: None,
            skew: 0,
            ageless: false,
        }
    }

    pub(super) fn of(
        stored: Stored,
        definition: &Definition,
        store: &Store,
        id: &SessionId,
    ) -> Self {
        let jar = definition.jar(&stored);
        Self {
            token: definition.fingerprint(store, id, &stored.grant),
            generation: stored.generation,
            grant: Arc::new(stored.grant),
            jar: Arc::new(jar),
            notes: Arc::new(stored.notes),
            learnt_at: None,
            skew: 0,
            ageless: false,
        }
    }

    /// Tells whether the answer to a call is worth more than what is held: that is what the call spent, or came of an
    /// earlier call that spent the same.
    pub(super) fn gives_way_to(&self, call: u64, spent: Option<&str>) -> bool {
        let token = self.token.as_deref();
        match &self.notes.came_of {
            Some(last) if token == Some(&last.brought) && spent == Some(&last.spent) => {
                last.call < call
            }
            Some(_) | None => token == spent,
        }
    }

    /// Tells whether the token that is held was never about to be sent before the call with this number.
    pub(super) fn is_first_sent_by(&self, call: u64) -> bool {
        let attempt = self.notes.attempt.as_ref();
        attempt.is_some_and(|first| Some(&first.token) == self.token.as_ref() && first.call == call)
    }

    /// Calls `with` with what the session's templates see.
    pub(super) fn scope<T>(
        &self,
        recipe: &Recipe,
        now: SystemTime,
        random: [u8; 16],
        with: impl FnOnce(&Scope<'_>) -> T,
    ) -> T {
        scope(recipe, &self.grant, &self.jar, now, random, with)
    }

    pub(super) fn view(&self, definition: &Definition, now: SystemTime) -> View {
        let recipe = &definition.recipe;
        // Nothing that is rendered here asks for randomness: that is rendered for each request.
        let (rendered, renewable) = self.scope(recipe, now, [0; 16], |scope| {
            (
                self.render(recipe, scope, now),
                self.renewable(recipe, scope),
            )
        });
        let nothing = self.grant.fields.is_empty() && self.jar.is_empty();
        let (what, ready) = match rendered {
            Ok(_) if recipe.inject.is_empty() && recipe.sign.is_none() && nothing => {
                (What::Nothing, None)
            }
            Ok(ready) => (What::Whole, Some(ready)),
            Err(_) if nothing => (What::Nothing, None),
            Err(missing) => (What::Lacks(missing), None),
        };
        let holding = Holding {
            generation: self.generation,
            what,
            renewable,
            expires_at: self.expires_at(recipe, now),
            obtained_at: self.grant.obtained_at.max(self.learnt_at),
            token: self.token.clone(),
        };
        View { holding, ready }
    }

    /// Renders the injections; else says what is missing.
    fn render(
        &self,
        recipe: &Recipe,
        scope: &Scope<'_>,
        now: SystemTime,
    ) -> Result<Arc<[Ready]>, String> {
        let missing = recipe.cookies.required.iter();
        if let Some(name) = missing
            .filter(|_| recipe.cookies.enabled)
            .find(|name| self.jar.named(name, now).is_none())
        {
            return Err(format!("cookie {name}"));
        }
        for inject in &recipe.inject {
            for field in inject.value.fields() {
                scope.field(field).map_err(|error| undefined(&error))?;
            }
        }
        for template in recipe.sign.iter().flat_map(Sign::templates) {
            template.render(scope).map_err(|error| undefined(&error))?;
        }
        match inject::prepare(recipe, scope) {
            Ok(ready) => Ok(ready.into()),
            Err(inject::Error::Template { source, .. }) => Err(undefined(&source)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Tells whether everything is there that a refresh asks for.
    fn renewable(&self, recipe: &Recipe, scope: &Scope<'_>) -> bool {
        match &recipe.refresh.kind {
            RefreshKind::None => false,
            RefreshKind::Touch(_) => !self.jar.is_empty() || !self.grant.fields.is_empty(),
            RefreshKind::Command(_) | RefreshKind::Steps(_) | RefreshKind::Import(_) => true,
            RefreshKind::Oauth2(oauth2) => {
                let named = |name: &str| oauth2.params.iter().any(|(param, _)| param == name);
                let defined =
                    |template: &Template| template.fields().all(|field| scope.field(field).is_ok());
                let spends = oauth2.grant_type != GrantType::RefreshToken
                    || named(REFRESH_TOKEN)
                    || scope.field(REFRESH_TOKEN).is_ok();
                spends && oauth2.params.iter().all(|(_, template)| defined(template))
            }
        }
    }

    /// Returns when the credential ends: its token or its cookies, whichever is first.
    fn expires_at(&self, recipe: &Recipe, now: SystemTime) -> Option<SystemTime> {
        if self.ageless {
            return None;
        }
        let outlived = recipe.sign.as_ref().is_some_and(Sign::outlives_tokens);
        if outlived {
            return self.cookies_expire_at(recipe, now);
        }
        let token = self.grant.expires_at.or_else(|| {
            let token = self.grant.field(ACCESS_TOKEN)?;
            self.on_our_clock(jwt::times(token.expose()).expires?)
        });
        match (token, self.cookies_expire_at(recipe, now)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn cookies_expire_at(&self, recipe: &Recipe, now: SystemTime) -> Option<SystemTime> {
        let cookies = &recipe.cookies;
        if !cookies.enabled {
            return None;
        }
        if let Some(template) = &cookies.expires {
            let text = self.scope(recipe, now, [0; 16], |scope| template.render(scope));
            return self.on_our_clock(read_time(text.ok()?.trim())?);
        }
        let required = || {
            let names = cookies.required.iter();
            names.filter_map(|name| self.jar.named(name, now))
        };
        let stated = required().filter_map(|cookie| cookie.expires).min();
        let within = required()
            .filter_map(|cookie| std::str::from_utf8(cookie.value.expose()).ok())
            .filter_map(|value| self.on_our_clock(jwt::times(value).expires?))
            .min();
        stated.or(within)
    }

    /// Takes the server's skew off a time that the server wrote.
    pub(super) fn on_our_clock(&self, time: SystemTime) -> Option<SystemTime> {
        let by = Duration::from_millis(self.skew.unsigned_abs());
        if self.skew >= 0 {
            time.checked_sub(by)
        } else {
            time.checked_add(by)
        }
    }
}

/// Calls `with` with what a session's templates see, for a grant and a jar.
pub(super) fn scope<T>(
    recipe: &Recipe,
    grant: &Grant,
    jar: &Jar,
    now: SystemTime,
    random: [u8; 16],
    with: impl FnOnce(&Scope<'_>) -> T,
) -> T {
    let cookies = |name: &str| -> Option<Cow<'_, [u8]>> { Scope::cookie_of(jar, name, now) };
    let scope = Scope {
        cookies: &cookies,
        ..Scope::of(recipe, grant, now, random)
    };
    with(&scope)
}

/// As [`scope`], with what the steps of a refresh captured so far.
pub(super) fn scope_of_step<T>(
    recipe: &Recipe,
    (grant, jar): (&Grant, &Jar),
    captured: &BTreeMap<String, Secret>,
    now: SystemTime,
    random: [u8; 16],
    with: impl FnOnce(&Scope<'_>) -> T,
) -> T {
    let cookies = |name: &str| -> Option<Cow<'_, [u8]>> { Scope::cookie_of(jar, name, now) };
    let scope = Scope {
        cookies: &cookies,
        captured,
        ..Scope::of(recipe, grant, now, random)
    };
    with(&scope)
}

/// Returns the missing field's name, or what stands in its way.
fn undefined(error: &template::Error) -> String {
    match error {
        template::Error::Undefined(name) => name.clone(),
        template::Error::Derived { field, source } => match &**source {
            template::Error::Undefined(_) | template::Error::Derived { .. } => undefined(source),
            other => format!("{field} ({other})"),
        },
        other => other.to_string(),
    }
}

/// Reads a time as sites write it: seconds or milliseconds since the epoch, RFC 3339, or an HTTP date.
fn read_time(text: &str) -> Option<SystemTime> {
    if let Ok(number) = text.parse::<f64>() {
        return jwt::at(number).or_else(|| jwt::at(number / 1000.0));
    }
    let rfc3339 = OffsetDateTime::parse(text, &Rfc3339).map(SystemTime::from);
    rfc3339
        .ok()
        .or_else(|| httpdate::parse_http_date(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_sites_write_them() {
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for text in [
            "1700000000",
            "1700000000.0",
            "1700000000000",
            "2023-11-14T22:13:20Z",
            "2023-11-14T23:13:20+01:00",
            "Tue, 14 Nov 2023 22:13:20 GMT",
        ] {
            assert_eq!(read_time(text), Some(expected), "{text}");
        }
        for text in ["", "soon", "-1", "inf"] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }
}
