//! The table of what clients are told: side, status, error type, message and hint of every kind of error.

use std::time::Duration;

use http::StatusCode;

use super::error::Kind;

/// Whose side failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Upstream,
    Proxy,
}

/// What a client is told.
#[derive(Debug)]
pub struct Answer {
    pub side: Side,
    pub status: StatusCode,
    /// The error type of `Proxy-Status` (RFC 9209 §2.3).
    pub error: &'static str,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
    pub retry_after: Option<Duration>,
}

// === impl Kind ===

impl Kind {
    /// The table: side, status, error type, message and hint of every kind.
    pub fn answer(&self) -> Answer {
        use Side::{Client, Proxy, Upstream};
        let (side, status, error, message, hint) = match self {
            Self::BadRequest(why) => (Client, 400, "http_request_error", *why, None),
            Self::Misdirected => (
                Client,
                421,
                "http_request_error",
                "the request names another host than its connection was opened for",
                Some("open a connection of its own for each host"),
            ),
            Self::ClientUnknown => (
                Client,
                407,
                "http_request_denied",
                "the proxy does not know this client",
                Some("give the proxy's URL a name and password: http://NAME:PASSWORD@HOST:PORT"),
            ),
            Self::OtherUser => (
                Client,
                403,
                "http_request_denied",
                "the proxy serves only the user that runs it",
                Some("set local_users = \"any\", or give each client a password under [clients]"),
            ),
            Self::Denied => (
                Client,
                403,
                "http_request_denied",
                "no session is bound to this host",
                Some("bind a session to it, or set unmatched = \"tunnel\""),
            ),
            Self::Blocked => (
                Client,
                403,
                "http_request_denied",
                "this request would destroy the shared session",
                Some("the session's `block` forbids it"),
            ),
            Self::Ourselves => (
                Client,
                403,
                "destination_ip_prohibited",
                "the destination is this proxy itself",
                None,
            ),
            Self::Prohibited => (
                Client,
                403,
                "destination_ip_prohibited",
                "the destination is a loopback, link-local or metadata address, and the client is not the proxy's own user",
                Some("bind a session to it, or name it under [proxy] resolve"),
            ),
            Self::Loop => (
                Proxy,
                502,
                "proxy_loop_detected",
                "the request has passed this proxy before",
                Some("look at upstream_proxy and HTTPS_PROXY: they lead back here"),
            ),
            Self::Dns => (
                Upstream,
                502,
                "dns_error",
                "the host name has no address",
                None,
            ),
            Self::DnsTimeout => (
                Upstream,
                504,
                "dns_timeout",
                "the name servers do not answer",
                None,
            ),
            Self::ConnectRefused => (
                Upstream,
                502,
                "connection_refused",
                "the upstream refuses connections",
                None,
            ),
            Self::ConnectTimeout => (
                Upstream,
                504,
                "connection_timeout",
                "the upstream does not answer",
                None,
            ),
            Self::Connect => (
                Upstream,
                502,
                "destination_ip_unroutable",
                "the upstream cannot be reached",
                None,
            ),
            Self::TlsCertificate => (
                Upstream,
                502,
                "tls_certificate_error",
                "the upstream's certificate does not verify",
                Some("a private CA goes into [proxy] extra_roots"),
            ),
            Self::Tls => (
                Upstream,
                502,
                "tls_protocol_error",
                "the TLS handshake with the upstream failed",
                None,
            ),
            Self::HandshakeTimeout => (
                Upstream,
                504,
                "connection_timeout",
                "the upstream does not finish the TLS handshake",
                None,
            ),
            Self::EgressRefused => (
                Upstream,
                502,
                "proxy_internal_response",
                "there is no way through the upstream proxy",
                Some("look at [proxy] upstream_proxy"),
            ),
            Self::Incomplete => (
                Upstream,
                502,
                "http_response_incomplete",
                "the upstream ended the connection before its answer was complete",
                None,
            ),
            Self::Protocol => (
                Upstream,
                502,
                "http_protocol_error",
                "the upstream's answer is not valid HTTP",
                None,
            ),
            Self::ResponseTimeout => (
                Upstream,
                504,
                "http_response_timeout",
                "the upstream does not answer in time",
                None,
            ),
            Self::RequestBody => (
                Client,
                400,
                "http_request_error",
                "the request's body ended early",
                None,
            ),
            Self::BodyTooLarge => (
                Client,
                413,
                "http_request_error",
                "the request's body is too large to put a credential into it",
                Some("limits.whole_body says how large it may be, unpacked too"),
            ),
            Self::KeptTooMuch => (
                Proxy,
                503,
                "proxy_internal_error",
                "there is no room to unpack a body",
                Some("limits.replay_total says how much all bodies may take together"),
            ),
            Self::StillRejected => (
                Upstream,
                502,
                "http_response_incomplete",
                "the upstream's answer is no good, also after a refresh",
                Some("see `staysigned status`"),
            ),
            Self::Unmasked => (
                Upstream,
                502,
                "http_response_incomplete",
                "the upstream's answer has a credential that cannot be masked",
                Some("limits.token_answer says how large such an answer may be"),
            ),
            Self::Uncured(why) => {
                return Answer {
                    side: Upstream,
                    status: StatusCode::BAD_GATEWAY,
                    error: "http_response_incomplete",
                    message: format!("the upstream's answer is no good, and {why}"),
                    hint: Some("see `staysigned status`"),
                    retry_after: None,
                };
            }
            Self::NeedsLogin(hint) => {
                return Answer {
                    side: Proxy,
                    status: StatusCode::NETWORK_AUTHENTICATION_REQUIRED,
                    error: "proxy_configuration_error",
                    message: format!("the session needs a login: {hint}"),
                    hint: None,
                    retry_after: None,
                };
            }
            Self::Degraded(after) => {
                return Answer {
                    side: Proxy,
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    error: "proxy_internal_error",
                    message: "the session cannot be renewed at the moment".to_owned(),
                    hint: Some("see `staysigned status`"),
                    retry_after: Some(*after),
                };
            }
            Self::Paced(after) => {
                return Answer {
                    side: Proxy,
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    error: "connection_limit_reached",
                    message: "the session's pace is used up".to_owned(),
                    hint: Some("ask more slowly, or raise the session's `pace`"),
                    retry_after: Some(*after),
                };
            }
            Self::Incompletely(missing) => {
                return Answer {
                    side: Proxy,
                    status: StatusCode::NETWORK_AUTHENTICATION_REQUIRED,
                    error: "proxy_configuration_error",
                    message: format!("the session is incomplete: {missing}"),
                    hint: Some("see `staysigned status`"),
                    retry_after: None,
                };
            }
            Self::Unsigned(why) => {
                return Answer {
                    side: Proxy,
                    status: StatusCode::NETWORK_AUTHENTICATION_REQUIRED,
                    error: "proxy_configuration_error",
                    message: format!("the request cannot be signed: {why}"),
                    hint: Some("import the session's material again"),
                    retry_after: None,
                };
            }
            Self::Waiting => (
                Proxy,
                503,
                "proxy_internal_error",
                "the session's refresh takes too long",
                None,
            ),
            Self::Busy => (
                Proxy,
                503,
                "connection_limit_reached",
                "another request of this serial session takes too long",
                None,
            ),
            Self::Store => (
                Proxy,
                503,
                "proxy_internal_error",
                "what the answer taught could not be stored",
                Some("see the proxy's log: is the disk full or read-only?"),
            ),
            Self::Unread => (
                Proxy,
                503,
                "proxy_internal_error",
                "the session's store cannot be read",
                Some("see the proxy's log, then try again"),
            ),
            Self::Draining => (
                Proxy,
                503,
                "proxy_internal_response",
                "the proxy is stopping",
                None,
            ),
            Self::Internal => (
                Proxy,
                500,
                "proxy_internal_error",
                "an error of the proxy itself",
                Some("see its log"),
            ),
        };
        let status = StatusCode::from_u16(status).expect("the table has valid statuses");
        Answer {
            side,
            status,
            error,
            message: message.to_owned(),
            hint,
            retry_after: None,
        }
    }
}
