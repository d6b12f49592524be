//! What can go wrong with an exchange: whose side failed, and what each becomes.

use std::{error::Error as StdError, fmt, time::Duration};

use super::answer::Side;
use crate::{
    message::target,
    origin::Origin,
    session::{NoTurn, Paced, Unusable},
    upstream,
};

/// Why the proxy answers by itself.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    /// Where the connection should have gone, if no request says it.
    to: Option<Box<Origin>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What failed; `answer` has the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request's target or head is not valid.
    BadRequest(&'static str),
    /// The request names another host than its connection.
    Misdirected,
    /// Nobody knows this client.
    ClientUnknown,
    /// Another user of this machine.
    OtherUser,
    /// No session is bound to the host, and `unmatched = "deny"`.
    Denied,
    /// The session's `block` forbids the request.
    Blocked,
    /// The destination is this proxy itself.
    Ourselves,
    /// The destination is this machine's own, its link's or a metadata service, and the client is not this machine's user.
    Prohibited,
    /// The request has passed here before.
    Loop,
    Dns,
    DnsTimeout,
    ConnectRefused,
    ConnectTimeout,
    Connect,
    TlsCertificate,
    Tls,
    HandshakeTimeout,
    EgressRefused,
    Incomplete,
    Protocol,
    ResponseTimeout,
    /// The client's own body failed; it will hardly read this.
    RequestBody,
    /// The body is larger than what may be read whole.
    BodyTooLarge,
    /// A body is out of proportion unpacked, and the kept bodies leave no room for it.
    KeptTooMuch,
    /// What signs the request cannot be made.
    Unsigned(String),
    /// The answer after a refresh was rejected too, and the rule says `again = "fail"`.
    StillRejected,
    /// As that, when there was no renewal that could have helped; says why.
    Uncured(&'static str),
    NeedsLogin(String),
    Degraded(Duration),
    /// The value to inject cannot be made.
    Incompletely(String),
    Waiting,
    Busy,
    /// The session's pace is used up for longer than a request waits.
    Paced(Duration),
    /// An answer has what the client must not see, and it cannot be taken out.
    Unmasked,
    /// What was learnt could not be stored.
    Store,
    /// What the session holds, or whose turn it is, is not known.
    Unread,
    Draining,
    Internal,
}

// === impl Error ===

impl Error {
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Notes where the connection should have gone.
    pub fn on_the_way_to(mut self, origin: &Origin) -> Self {
        self.to = Some(Box::new(origin.clone()));
        self
    }

    pub fn to(&self) -> Option<&Origin> {
        self.to.as_deref()
    }

    /// Says more of what happened than its kind does, in a few words of our own.
    pub fn detail(&self) -> Option<&'static str> {
        self.source
            .as_deref()?
            .downcast_ref::<upstream::Error>()?
            .certificate()
    }

    pub fn side(&self) -> Side {
        self.kind.answer().side
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            to: None,
            source: None,
        }
    }
}

impl From<target::Error> for Error {
    fn from(error: target::Error) -> Self {
        let kind = match error {
            target::Error::Target => Kind::BadRequest("the request's target is not valid"),
            target::Error::Host => {
                Kind::BadRequest("the request needs exactly one valid Host field")
            }
            target::Error::OriginForm => {
                Kind::BadRequest("this is a proxy: it takes absolute URLs and CONNECT")
            }
            target::Error::Misdirected => Kind::Misdirected,
        };
        Self::from(kind)
    }
}

impl From<upstream::Error> for Error {
    fn from(error: upstream::Error) -> Self {
        use upstream::Kind as Upstream;
        let kind = match error.kind() {
            Upstream::Dns => Kind::Dns,
            Upstream::DnsTimeout => Kind::DnsTimeout,
            Upstream::Ourselves(_) => Kind::Ourselves,
            Upstream::Prohibited => Kind::Prohibited,
            Upstream::ConnectRefused => Kind::ConnectRefused,
            Upstream::ConnectTimeout => Kind::ConnectTimeout,
            Upstream::Connect => Kind::Connect,
            Upstream::TlsCertificate => Kind::TlsCertificate,
            Upstream::Tls => Kind::Tls,
            Upstream::HandshakeTimeout => Kind::HandshakeTimeout,
            Upstream::EgressRefused => Kind::EgressRefused,
            Upstream::Incomplete => Kind::Incomplete,
            Upstream::Protocol => Kind::Protocol,
            Upstream::Silence => Kind::ResponseTimeout,
            Upstream::RequestBody => Kind::RequestBody,
        };
        Self::from(kind).because(error)
    }
}

impl From<Unusable> for Error {
    fn from(unusable: Unusable) -> Self {
        Self::from(match unusable {
            Unusable::NeedsLogin { hint } => Kind::NeedsLogin(hint),
            Unusable::Degraded { retry_after } => Kind::Degraded(retry_after),
            Unusable::Incomplete { missing } => Kind::Incompletely(missing),
            Unusable::Waiting => Kind::Waiting,
        })
    }
}

impl From<NoTurn> for Error {
    fn from(none: NoTurn) -> Self {
        let kind = match &none {
            NoTurn::Busy => Kind::Busy,
            NoTurn::Unknown(_) => Kind::Unread,
        };
        Self::from(kind).because(none)
    }
}

impl From<Paced> for Error {
    fn from(paced: Paced) -> Self {
        Self::from(Kind::Paced(paced.retry_after)).because(paced)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.answer().message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
