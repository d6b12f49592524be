//! Why a request had no answer, and whether it can have reached the upstream.

use std::{error::Error as StdError, fmt, net::SocketAddr, sync::Arc};

use crate::{http1, http2};

/// Whether a failed request can have reached the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Not a byte of it was written.
    No,
    /// It may have been received, and acted on.
    Maybe,
}

/// Why a request had no answer. Clones are for others who waited for the same.
#[derive(Clone)]
pub struct Error {
    kind: Kind,
    sent: Sent,
    reused: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Dns,
    DnsTimeout,
    /// The address is ourselves.
    Ourselves(SocketAddr),
    /// Who asks may not reach that address.
    Prohibited,
    ConnectRefused,
    ConnectTimeout,
    Connect,
    /// The certificate does not verify.
    TlsCertificate,
    Tls,
    HandshakeTimeout,
    /// The upstream proxy refused, or is not there.
    EgressRefused,
    /// The connection ended before the whole answer was there.
    Incomplete,
    /// What came is not HTTP.
    Protocol,
    /// Nothing came for too long.
    Silence,
    /// The client's own body failed.
    RequestBody,
}

// === impl Error ===

impl Error {
    pub fn new(kind: Kind, sent: Sent) -> Self {
        Self {
            kind,
            sent,
            reused: false,
            source: None,
        }
    }

    /// An error from before the request was written.
    pub fn unsent(kind: Kind) -> Self {
        Self::new(kind, Sent::No)
    }

    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// No answer came in time.
    pub fn silent() -> Self {
        Self::new(Kind::Silence, Sent::Maybe)
    }

    /// The answer is not what may be passed on.
    pub fn invalid(why: &'static str) -> Self {
        Self::new(Kind::Protocol, Sent::Maybe).because(why)
    }

    /// Notes whether the connection had carried a request before.
    pub(super) fn on_reused(mut self, reused: bool) -> Self {
        self.reused = reused;
        self
    }

    /// Sorts an error of a TLS handshake.
    pub(super) fn tls(error: std::io::Error) -> Self {
        let kind = match error
            .get_ref()
            .and_then(|e| e.downcast_ref::<rustls::Error>())
        {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                Kind::TlsCertificate
            }
            _ => Kind::Tls,
        };
        Self::unsent(kind).because(error)
    }

    /// Tells whether the upstream speaks none of the protocols that were offered (RFC 7301 §3.2).
    pub(super) fn is_no_application_protocol(&self) -> bool {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
        self.rustls() == Some(&alert)
    }

    /// Says what is wrong with the upstream's certificate, if that can be said in a few words.
    pub fn certificate(&self) -> Option<&'static str> {
        use rustls::CertificateError as Wrong;
        let rustls::Error::InvalidCertificate(wrong) = self.rustls()? else {
            return None;
        };
        Some(match wrong {
            Wrong::Expired | Wrong::ExpiredContext { .. } => "it has expired",
            Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => "it is not valid yet",
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
                "it is for other names"
            }
            Wrong::UnknownIssuer => "its issuer is not known",
            Wrong::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                "it is a CA's own, which no server may show"
            }
            _ => return None,
        })
    }

    fn rustls(&self) -> Option<&rustls::Error> {
        let source = self.source.as_deref()?.downcast_ref::<std::io::Error>()?;
        source.get_ref()?.downcast_ref()
    }

    /// Sorts an error of HTTP/1.1.
    pub(super) fn http1(error: http1::Error) -> Self {
        let kind = match &error {
            http1::Error::Head(_) | http1::Error::Body(_) => Kind::Protocol,
            http1::Error::Http2 => return Self::unsent(Kind::Protocol).because(error),
            http1::Error::Incomplete | http1::Error::Io(_) => Kind::Incomplete,
            http1::Error::Sending(_) => Kind::RequestBody,
        };
        Self::new(kind, Sent::Maybe).because(error)
    }

    /// Notes that nothing of the request was written.
    pub(super) fn on_unsent(mut self) -> Self {
        self.sent = Sent::No;
        self
    }

    /// Sorts an error of HTTP/2.
    pub(super) fn http2(error: http2::Error, sent: Sent) -> Self {
        let kind = if error.is_ours() {
            // Nothing else of us ends a stream that somebody waits for.
            Kind::RequestBody
        } else if error.is_protocol() {
            Kind::Protocol
        } else {
            Kind::Incomplete
        };
        Self::new(kind, sent).because(error)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// Tells whether the connection had carried a request before: its end may have crossed this one on the way.
    pub fn reused(&self) -> bool {
        self.reused
    }

    /// Tells whether the upstream was spoken to in HTTP/1.1 and answered in HTTP/2.
    pub(super) fn speaks_http2(&self) -> bool {
        let http1 = self.source.as_deref().and_then(|e| e.downcast_ref());
        matches!(http1, Some(http1::Error::Http2))
    }

    /// Tells whether the upstream said that it did nothing with the request (RFC 9113 §8.7), or could not (§3.4).
    pub fn refused_stream(&self) -> bool {
        let source = self.source.as_deref();
        let http2 = source.and_then(|e| e.downcast_ref::<http2::Error>());
        self.speaks_http2() || http2.is_some_and(http2::Error::is_refused)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Dns => "the host name has no address",
            Kind::DnsTimeout => "the name servers do not answer",
            Kind::Ourselves(_) => "the address is this proxy itself",
            Kind::Prohibited => "the address is not for this client",
            Kind::ConnectRefused => "the upstream refuses connections",
            Kind::ConnectTimeout => "the upstream does not answer to a connection",
            Kind::Connect => "the upstream cannot be reached",
            Kind::TlsCertificate => "the upstream's certificate does not verify",
            Kind::Tls => "the TLS handshake with the upstream failed",
            Kind::HandshakeTimeout => "the upstream does not finish the TLS handshake",
            Kind::EgressRefused => "there is no way through the upstream proxy",
            Kind::Incomplete => "the upstream ended the connection before its answer was complete",
            Kind::Protocol => "the upstream's answer is not valid HTTP",
            Kind::Silence => "the upstream sent nothing for too long",
            Kind::RequestBody => "the request's body ended early",
        })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("sent", &self.sent)
            .field("source", &self.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
