//! What happened to a session: a short history, a live stream, and the log, with the same fixed names and no secrets.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Serialize, Serializer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use super::About;

/// Events kept of one session.
const KEPT: usize = 100;

/// Events that a slow listener of the stream may lag behind.
pub(super) const LAG: usize = 1024;

/// The names of events.
pub mod name {
    pub const ROTATED: &str = "session.rotated";
    pub const STARTED: &str = "refresh.started";
    pub const SUCCEEDED: &str = "refresh.succeeded";
    pub const FAILED: &str = "refresh.failed";
    pub const EXPIRING: &str = "session.expiring";
    pub const EXPIRED: &str = "session.expired";
    pub const REJECTED: &str = "request.rejected";
    pub const REPLAYED: &str = "request.replayed";
    pub const NEEDS_LOGIN: &str = "session.needs_login";
    pub const RECOVERED: &str = "session.recovered";
    pub const RESTORED: &str = "session.restored";
}

/// Something that happened to a session.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Event {
    #[schema(value_type = String)]
    pub name: &'static str,
    pub session: String,
    pub client: Option<String>,
    #[serde(serialize_with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: SystemTime,
    /// Why, or what of it; never a secret.
    pub detail: String,
    /// The client whose request it was about, or who refreshed by itself, where clients have names.
    pub asked_by: Option<String>,
    /// The request that it was about: method and URL, without its query.
    pub request: Option<String>,
    /// How long the refresh took, in milliseconds; of several that failed in the same way, the last.
    pub took_ms: Option<u64>,
}

/// Who had a part in an event, and how long that took.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) client: Option<Arc<str>>,
    pub(super) request: Option<String>,
    pub(super) took: Option<Duration>,
}

/// The last events of a session.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Event>);

// === impl Part ===

impl Part {
    /// The part of a request.
    pub(super) fn of(about: About<'_>) -> Self {
        let (method, origin, path) = (about.method, about.origin, about.path_alone());
        Self {
            client: about.client.cloned(),
            request: Some(format!("{method} {origin}{path}")),
            took: None,
        }
    }

    /// The part of a client's own refresh.
    pub(super) fn of_client(client: Option<Arc<str>>) -> Self {
        Self {
            client,
            ..Self::default()
        }
    }

    pub(super) fn taking(self, took: Duration) -> Self {
        Self {
            took: Some(took),
            ..self
        }
    }
}

// === impl History ===

impl History {
    /// Adds an event. One that says again what one of the last two said takes its place: a thousand rejections
    /// do not wash out what came before.
    pub(super) fn push(&mut self, event: Event) {
        let same = |old: &Event| (old.name, &old.detail) == (event.name, &event.detail);
        let len = self.0.len();
        if let Some(at) = (len.saturating_sub(2)..len).find(|at| same(&self.0[*at])) {
            self.0.remove(at);
        } else if len == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.0.iter().cloned().collect()
    }
}

/// Writes a time as RFC 3339 in UTC, to the second.
pub(super) fn format(time: SystemTime) -> String {
    OffsetDateTime::from(time)
        .replace_nanosecond(0)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_bounded_and_in_utc() {
        let mut history = History::default();
        for n in 0..KEPT as u64 + 5 {
            history.push(Event {
                name: name::ROTATED,
                session: "a".into(),
                client: None,
                at: SystemTime::UNIX_EPOCH + Duration::from_millis(n * 1000 + 999),
                detail: n.to_string(),
                asked_by: None,
                request: None,
                took_ms: None,
            });
        }
        for n in 0..1000 {
            for name in [name::REJECTED, name::REPLAYED] {
                history.push(Event {
                    name,
                    session: "a".into(),
                    client: None,
                    at: SystemTime::UNIX_EPOCH + Duration::from_secs(n),
                    detail: "generation 1".into(),
                    asked_by: None,
                    request: None,
                    took_ms: Some(n),
                });
            }
        }
        let events = history.events();
        assert_eq!(events.len(), KEPT);
        let json = serde_json::to_value(&events[0]).unwrap();
        assert_eq!(json["at"], "1970-01-01T00:00:07Z");
        assert_eq!(json["name"], "session.rotated");
        let last = events.last().unwrap();
        assert_eq!(last.took_ms, Some(999), "of the same, the last");
    }
}
