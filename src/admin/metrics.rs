//! Metrics in the text format of OpenMetrics, made from what is counted anyway, when somebody asks.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use axum::{extract::State as Given, http::header::CONTENT_TYPE, response::IntoResponse};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet, text::encode},
    metrics::{MetricType, exemplar::Exemplar},
    registry::Registry,
};

use super::State;
use crate::{
    proxy::{
        Proxy,
        meter::{self, Added},
    },
    session::{BUCKETS, Counters, Session},
};

/// The states, each a series that is 1 for the session that is in it.
const STATES: [&str; 6] = [
    "empty",
    "incomplete",
    "fresh",
    "refreshing",
    "degraded",
    "needs_login",
];

/// What is there to be counted at one moment.
#[derive(Debug)]
struct Now {
    proxy: Arc<Proxy>,
    at: SystemTime,
}

/// Returns the metrics.
#[utoipa::path(get, path = "/metrics", tag = "probes",
    responses((status = 200, description = "The text format of OpenMetrics", body = str, content_type = "application/openmetrics-text")))]
pub(super) async fn get(Given(state): Given<State>) -> impl IntoResponse {
    let mut registry = Registry::with_prefix("staysigned");
    registry.register_collector(Box::new(Now {
        proxy: state.proxy.clone(),
        at: crate::env::Env::real().wall(),
    }));
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a string does not fail");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], text)
}

type Written = Result<(), fmt::Error>;

// === impl Now ===

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Written {
        let Self { proxy, at } = self;
        let sessions = proxy.world.load().sessions.all();
        let sessions: Vec<_> = sessions
            .into_iter()
            .map(|session| (session.id().to_string(), session))
            .collect();
        let mut out = Out {
            encoder: &mut encoder,
            sessions: &sessions,
        };
        out.counts("requests", "Requests that a session was for", |c| {
            let requests = c.requests.load(Ordering::Relaxed);
            let injected = c.injected.load(Ordering::Relaxed);
            let rejected = c.rejected.load(Ordering::Relaxed);
            // The first rejection of what was sent again was seen by nobody.
            let seen = rejected.saturating_sub(c.replayed.load(Ordering::Relaxed));
            vec![
                ("outcome", "accepted", injected.saturating_sub(seen)),
                ("outcome", "rejected", seen),
                ("outcome", "without", requests.saturating_sub(injected)),
            ]
        })?;
        out.counts(
            "refresh_attempts",
            "Calls to renew a session, by how they ended",
            |c| {
                let attempts = c.attempts().into_iter();
                attempts
                    .map(|(result, count)| ("result", result, count))
                    .collect()
            },
        )?;
        out.counts(
            "replays",
            "Rejected requests that were sent again, by how that ended",
            |c| {
                let again = c.rejected_again.load(Ordering::Relaxed);
                let all = c.replayed.load(Ordering::Relaxed);
                vec![
                    ("result", "accepted", all.saturating_sub(again)),
                    ("result", "rejected", again),
                ]
            },
        )?;
        out.totals(
            "rotations",
            "New credentials, from answers and refreshes",
            |c| c.rotations.load(Ordering::Relaxed),
        )?;
        out.totals(
            "expiries",
            "Credentials that ended before they were renewed",
            |c| c.expiries.load(Ordering::Relaxed),
        )?;
        out.states()?;
        out.expiry(*at)?;
        out.refresh_durations()?;
        out.connections(proxy)?;
        out.added(&proxy.added)?;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.family("build", "The version that runs", MetricType::Info)?
            .encode_info(&version)
    }
}

/// Writes the families.
struct Out<'e, 'a> {
    encoder: &'e mut DescriptorEncoder<'a>,
    sessions: &'e [(String, Arc<Session>)],
}

// === impl Out ===

impl Out<'_, '_> {
    fn family<'f>(
        &'f mut self,
        name: &'f str,
        help: &'f str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'f>, fmt::Error> {
        self.encoder.encode_descriptor(name, help, None, kind)
    }

    /// A counter of each session, split by a label.
    fn counts(
        &mut self,
        name: &str,
        help: &str,
        counts: impl Fn(&Counters) -> Vec<(&'static str, &'static str, u64)>,
    ) -> Written {
        let sessions = self.sessions;
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (id, session) in sessions {
            for (label, value, count) in counts(session.counters()) {
                counter(
                    &mut family,
                    &[("session", id.as_str()), (label, value)],
                    count,
                )?;
            }
        }
        Ok(())
    }

    /// A counter of each session.
    fn totals(&mut self, name: &str, help: &str, total: impl Fn(&Counters) -> u64) -> Written {
        let sessions = self.sessions;
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (id, session) in sessions {
            counter(
                &mut family,
                &[("session", id.as_str())],
                total(session.counters()),
            )?;
        }
        Ok(())
    }

    fn states(&mut self) -> Written {
        let sessions = self.sessions;
        let help = "1 for the state that a session is in";
        let mut family = self.family("session_state", help, MetricType::Gauge)?;
        for (id, session) in sessions {
            let state = session.status().state;
            for one in STATES {
                let labels = [("session", id.as_str()), ("state", one)];
                family
                    .encode_family(&labels)?
                    .encode_gauge(&u64::from(one == state))?;
            }
        }
        Ok(())
    }

    fn expiry(&mut self, now: SystemTime) -> Written {
        let sessions = self.sessions;
        let help =
            "Seconds until the credential ends, negative if it has; only where an end is known";
        let mut family = self.family("credential_expires_seconds", help, MetricType::Gauge)?;
        for (id, session) in sessions {
            let Some(at) = session.expires_at() else {
                continue;
            };
            let seconds = match at.duration_since(now) {
                Ok(ahead) => ahead.as_secs_f64(),
                Err(back) => -back.duration().as_secs_f64(),
            };
            family
                .encode_family(&[("session", id.as_str())])?
                .encode_gauge(&seconds)?;
        }
        Ok(())
    }

    fn refresh_durations(&mut self) -> Written {
        let mut counts = [0; BUCKETS.len() + 1];
        let mut seconds = 0.0;
        for (_, session) in self.sessions {
            let took = session.counters().took();
            for (sum, count) in counts.iter_mut().zip(took.counts) {
                *sum += count;
            }
            seconds += took.seconds;
        }
        let help = "How long calls to renew a session took";
        let mut family = self.family("refresh_duration_seconds", help, MetricType::Histogram)?;
        histogram(&mut family, &BUCKETS, &counts, seconds)
    }

    fn added(&mut self, added: &Added) -> Written {
        let help = "Time that the proxy itself added to a request, up to the head of its answer";
        let mut family = self.family("added_latency_seconds", help, MetricType::Histogram)?;
        histogram(
            &mut family,
            &meter::BUCKETS,
            &added.counts(),
            added.seconds(),
        )
    }

    fn connections(&mut self, proxy: &Proxy) -> Written {
        let idle = proxy.upstream.idle();
        let help = "Connections to upstreams";
        let mut family = self.family("upstream_connections", help, MetricType::Gauge)?;
        let active = proxy.upstream.open().saturating_sub(idle);
        for (state, count) in [("active", active), ("idle", idle)] {
            family
                .encode_family(&[("state", state)])?
                .encode_gauge(&(count as u64))?;
        }
        Ok(())
    }
}

fn counter<L: EncodeLabelSet>(family: &mut MetricEncoder<'_>, labels: &L, count: u64) -> Written {
    let none: Option<&Exemplar<NoLabelSet, u64>> = None;
    family.encode_family(labels)?.encode_counter(&count, none)
}

fn histogram(family: &mut MetricEncoder<'_>, bounds: &[f64], counts: &[u64], sum: f64) -> Written {
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
    let none: Option<&HashMap<usize, Exemplar<NoLabelSet, f64>>> = None;
    family.encode_histogram(sum, counts.iter().sum(), &buckets, none)
}
