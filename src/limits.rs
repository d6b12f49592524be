//! Every bound of the proxy, with its default: time, bytes, entries, connections (`[limits]`).

use std::time::Duration;

/// The bounds; a field is a key of `[limits]`, its default is the documented one.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Client connections at once; the file limit is raised to match.
    pub connections: usize,
    /// Bytes of a message head.
    pub head_bytes: usize,
    /// Fields of a message head.
    pub fields: usize,
    /// Bytes of a request body kept so that it can be sent again.
    pub replay_body: usize,
    /// Bytes of all request bodies kept at once.
    pub replay_total: usize,
    /// Decoded bytes of a response body that a rule may look at.
    pub inspect_body: usize,
    /// Decoded bytes for each encoded byte while looking.
    pub inspect_ratio: usize,
    /// How long a response head waits for the bytes a rule looks at.
    pub inspect_wait: Duration,
    /// Bytes of a request body that must be held whole (signing, rewriting).
    pub whole_body: usize,
    /// Bytes of a token endpoint's answer, decoded.
    pub token_answer: usize,
    /// Cookies of a jar.
    pub cookies: usize,
    /// Cookies of one domain.
    pub cookies_per_domain: usize,
    /// Bytes of a cookie's name and value.
    pub cookie_bytes: usize,
    /// Minted leaves kept.
    pub leaves: usize,
    /// To resolve and connect to an upstream.
    pub connect: Duration,
    /// A TLS handshake, on either side.
    pub handshake: Duration,
    /// To read a request head once its first byte is there.
    pub request_head: Duration,
    /// From the end of a request to the response head; none by default.
    pub response_head: Option<Duration>,
    /// A client connection between requests.
    pub idle: Duration,
    /// Without a byte within a body.
    pub silence: Duration,
    /// A tunnel, WebSocket or event stream without a byte; an answer of which its client takes nothing.
    pub tunnel_idle: Duration,
    /// A request waiting for a refresh when nothing usable is held.
    pub refresh_wait: Duration,
    /// A request waiting for its turn in a serial session.
    pub serial_wait: Duration,
    /// A process that holds the right to refresh, or to send, and shows no sign of life.
    pub lease: Duration,
    /// Refreshes at once.
    pub refreshes: usize,
    /// Refreshes at once to one token host.
    pub refreshes_per_host: usize,
    /// A heartbeat's answer.
    pub heartbeat: Duration,
    /// Idle upstream connections kept for one origin.
    pub upstream_idle: usize,
    /// How long they are kept.
    pub upstream_idle_for: Duration,
    /// How long a drain waits for what is in flight.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        Self {
            connections: 10_000,
            head_bytes: 256 * KIB,
            fields: 100,
            replay_body: 4 * MIB,
            replay_total: 64 * MIB,
            inspect_body: 256 * KIB,
            inspect_ratio: 10,
            inspect_wait: Duration::from_secs(2),
            whole_body: 4 * MIB,
            token_answer: MIB,
            cookies: 3_000,
            cookies_per_domain: 180,
            cookie_bytes: 4 * KIB,
            leaves: 4_096,
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            request_head: Duration::from_secs(10),
            response_head: None,
            idle: Duration::from_secs(300),
            silence: Duration::from_secs(300),
            tunnel_idle: Duration::from_secs(3600),
            refresh_wait: Duration::from_secs(10),
            serial_wait: Duration::from_secs(30),
            lease: Duration::from_secs(30),
            refreshes: 32,
            refreshes_per_host: 4,
            heartbeat: Duration::from_secs(10),
            upstream_idle: 32,
            upstream_idle_for: Duration::from_secs(90),
            drain: Duration::from_secs(30),
        }
    }
}
