//! The stages of a client's connection (CONNECT, handshake, requests), each with room of its own: one that has found
//! out what comes next gives its room back, and a connection that waits holds nothing of what it has been.

use std::{future::Future, pin::Pin};

use super::error::Error;

/// What is done next with a connection.
pub struct Stage(Pin<Box<dyn Future<Output = Next> + Send>>);

/// What a stage ends with: `None` is the connection's end.
pub type Next = Result<Option<Stage>, Error>;

// === impl Stage ===

impl Stage {
    pub fn new(stage: impl Future<Output = Next> + Send + 'static) -> Self {
        Self(Box::pin(stage))
    }

    /// A stage after which the connection has ended.
    pub fn last(stage: impl Future<Output = Result<(), Error>> + Send + 'static) -> Self {
        Self::new(async { stage.await.map(|()| None) })
    }

    /// Goes through this stage and all that follow.
    pub async fn run(self) -> Result<(), Error> {
        let mut stage = self;
        while let Some(next) = stage.0.await? {
            stage = next;
        }
        Ok(())
    }
}
