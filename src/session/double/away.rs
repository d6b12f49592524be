//! The ways in which an authorization server can be away, and what each of them looks like to whoever calls it.

use std::time::Duration;

use tokio::time::sleep;

use super::Authority;
use crate::life::Failure;

/// How it is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Away {
    /// There is no address for its name, which name servers take a while to say.
    NoName,
    /// SYNs are dropped: nothing ever comes back.
    Silent,
    /// Its host answers a SYN with RST.
    Refuses,
    /// What stands before it answers with 502.
    BadGateway,
    /// A portal answers everything with HTML and 200.
    Portal,
}

/// The pauses between the SYNs of one connection, as Linux makes them.
const SYNS: [u64; 6] = [0, 1, 2, 4, 8, 16];

/// How long the name servers take.
const ASKED: Duration = Duration::from_millis(700);

// === impl Away ===

impl Away {
    pub(in crate::session) const ALL: [Self; 5] = [
        Self::NoName,
        Self::Silent,
        Self::Refuses,
        Self::BadGateway,
        Self::Portal,
    ];

    /// Tells whether a connection is made, and so a token sent.
    pub(in crate::session) fn connects(self) -> bool {
        matches!(self, Self::BadGateway | Self::Portal)
    }

    /// What a call ends with.
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::NoName => Failure::Unsent("no such host".to_owned()),
            Self::Silent => Failure::Unsent("connection timed out".to_owned()),
            Self::Refuses => Failure::Unsent("connection refused".to_owned()),
            Self::BadGateway => Failure::InDoubt {
                why: "status 502".to_owned(),
                answered: true,
            },
            Self::Portal => Failure::NotAnAnswer("no JSON".to_owned()),
        }
    }
}

// === impl Authority ===

impl Authority {
    /// Connects to it, or says why that is not possible; that it does not answer is found out by waiting.
    pub(super) async fn connect(&self) -> Result<(), Failure> {
        for wait in SYNS {
            sleep(Duration::from_secs(wait)).await;
            let away = *self.away.lock().unwrap();
            match away.filter(|away| !away.connects()) {
                None => return Ok(()),
                Some(Away::Silent) => {}
                Some(Away::NoName) => {
                    sleep(ASKED).await;
                    return Err(Away::NoName.failure());
                }
                Some(away) => return Err(away.failure()),
            }
        }
        Err(Away::Silent.failure())
    }
}
