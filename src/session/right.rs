//! The right to refresh: taken, held, lost, and let go of.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::Session;
use crate::{life::Failure, store::Lease};

/// How long a flight waits for another one, of another process on the same store.
const LEASE: Duration = Duration::from_secs(60);

// === impl Session ===

impl Session {
    /// Nothing is spent while what the last refresh brought is in memory only.
    pub(super) async fn right_to_refresh(&self) -> Result<Lease, Failure> {
        self.save()
            .await
            .map_err(|error| Failure::Store(error.with_causes()))?;
        self.lease().await
    }

    /// What could not be stored keeps the lease until it is: the others know only the token that it came of.
    pub(super) fn let_go_of(&self, lease: Option<Lease>) {
        let mut lease = lease.map(Arc::new);
        if let Some(unsaved) = &mut self.inner().unsaved {
            unsaved.lease = unsaved.lease.take().or(lease.take());
        }
    }

    pub(super) async fn lease(&self) -> Result<Lease, Failure> {
        match timeout(LEASE, self.store.lease(&self.id)).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(error)) => Err(Failure::Store(error.with_causes())),
            Err(_) => Err(elsewhere()),
        }
    }

    /// Waits for the lease again if it was taken away; says whether it was.
    pub(super) async fn hold(&self, lease: &mut Lease) -> Result<bool, Failure> {
        match timeout(LEASE, lease.hold()).await {
            Ok(Ok(was_lost)) => Ok(was_lost),
            Ok(Err(error)) => Err(Failure::Store(error.with_causes())),
            Err(_) => Err(elsewhere()),
        }
    }
}

fn elsewhere() -> Failure {
    Failure::Store("another process refreshes it".to_owned())
}
