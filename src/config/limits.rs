//! `[limits]`: sizes as `4096` or `"4 MiB"`, durations as `"10s"`; `"none"` only where no limit is a choice.

use std::time::Duration;

use super::{
    read::{At, Keys, Read},
    scalar::Bytes,
};
use crate::limits::Limits;

/// A duration, or `"none"`.
struct Optional(Option<Duration>);

pub(super) fn read(keys: &Keys<'_>) -> Limits {
    let d = Limits::default();
    let count = |key, default: usize| {
        keys.at(key)
            .and_then(|at| at.number(1, 10_000_000))
            .map_or(default, |number| number as usize)
    };
    let size = |key, default| keys.or(key, Bytes(default)).0;
    let time = |key, default| keys.get::<Positive>(key).map_or(default, |time| time.0);
    Limits {
        connections: count("connections", d.connections),
        head_bytes: size("head_bytes", d.head_bytes),
        fields: count("fields", d.fields),
        replay_body: size("replay_body", d.replay_body),
        replay_total: size("replay_total", d.replay_total),
        inspect_body: size("inspect_body", d.inspect_body),
        inspect_ratio: count("inspect_ratio", d.inspect_ratio),
        inspect_wait: time("inspect_wait", d.inspect_wait),
        whole_body: size("whole_body", d.whole_body),
        token_answer: size("token_answer", d.token_answer),
        cookies: count("cookies", d.cookies),
        cookies_per_domain: count("cookies_per_domain", d.cookies_per_domain),
        cookie_bytes: size("cookie_bytes", d.cookie_bytes),
        leaves: count("leaves", d.leaves),
        connect: time("connect", d.connect),
        handshake: time("handshake", d.handshake),
        request_head: time("request_head", d.request_head),
        response_head: keys
            .get::<Optional>("response_head")
            .map_or(d.response_head, |time| time.0),
        idle: time("idle", d.idle),
        silence: time("silence", d.silence),
        tunnel_idle: time("tunnel_idle", d.tunnel_idle),
        refresh_wait: time("refresh_wait", d.refresh_wait),
        serial_wait: time("serial_wait", d.serial_wait),
        lease: time("lease", d.lease),
        refreshes: count("refreshes", d.refreshes),
        refreshes_per_host: count("refreshes_per_host", d.refreshes_per_host),
        heartbeat: time("heartbeat", d.heartbeat),
        upstream_idle: count("upstream_idle", d.upstream_idle),
        upstream_idle_for: time("upstream_idle_for", d.upstream_idle_for),
        drain: time("drain", d.drain),
    }
}

/// A duration that is not zero: a limit of nothing would stop everything.
struct Positive(Duration);

impl Read for Positive {
    fn read(at: &At<'_>) -> Option<Self> {
        if at.node.value.is_text("none") {
            at.fault(
                "this limit cannot be taken away",
                "set a long duration, as \"24h\"",
            );
            return None;
        }
        let time: Duration = at.get()?;
        if time.is_zero() {
            at.fault(
                "the duration is zero",
                "a limit of nothing would stop everything",
            );
            return None;
        }
        Some(Self(time))
    }
}

impl Read for Optional {
    fn read(at: &At<'_>) -> Option<Self> {
        if at.node.value.is_text("none") {
            return Some(Self(None));
        }
        Positive::read(at).map(|time| Self(Some(time.0)))
    }
}
