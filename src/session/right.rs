//! The right to refresh: taken, held, lost, and let go of; and what others did with it first.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{Session, flight::IN_DOUBT, write::doubt};
use crate::{
    life::{Attempt, Cause, Failure, Outcome, Reason},
    store::{self, Lease},
};

/// How long a flight waits for another one, of another process on the same store.
const LEASE: Duration = Duration::from_secs(60);

/// No lease is shorter than its renewals take.
const SHORTEST: Duration = Duration::from_secs(1);

/// How often a token in doubt is sent after its grace, by all processes together.
const ONCE_A_MINUTE: Duration = Duration::from_secs(60);

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

    /// Waits for the lease, with a time limit that leaves half of the server's grace to whoever has it next.
    pub(super) async fn leased(&self) -> Result<Lease, store::Error> {
        let limit = self.shared.limits.lease;
        let grace = self.definition.rules.grace.unwrap_or(limit * 2);
        let limit = match grace.is_zero() {
            true => limit,
            false => limit.min(grace / 2).max(SHORTEST),
        };
        self.store.lease(&self.id, limit).await
    }

    pub(super) async fn lease(&self) -> Result<Lease, Failure> {
        match timeout(LEASE, self.leased()).await {
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

    /// Returns the flight's outcome if it is no longer needed for what is held.
    pub(super) fn overtaken(&self, attempt: &Attempt) -> Option<Outcome> {
        let inner = self.inner();
        let held = inner.life.state.holding();
        let overtaken = if attempt.spends.is_some() {
            held.token != attempt.spends
        } else {
            held.generation > attempt.generation && held.usable(self.shared.env.wall())
        };
        overtaken.then_some(Outcome::Superseded)
    }

    /// Returns the outcome of another process with the same refresh token, if that stands for ours.
    pub(super) fn tried_by_another(&self, attempt: &Attempt) -> Option<Outcome> {
        // Within a flight, and when a person asks, it is tried all the same.
        if attempt.number > 1 || attempt.cause == Cause::Asked || attempt.spends.is_none() {
            return None;
        }
        let held = self.inner().held.clone();
        if let Some(reason) = &held.notes.needs_login {
            let vain = held.notes.vain;
            return Some(Outcome::Ended {
                reason: Reason::stored(reason),
                rejected: vain.is_some_and(|note| note.rejects(held.generation)),
            });
        }
        self.not_answered_just_now(attempt).map(Outcome::Failed)
    }

    /// Returns why a token is not sent now: a call with it was not answered a moment ago, and its grace is over.
    pub(super) fn not_answered_just_now(&self, attempt: &Attempt) -> Option<Failure> {
        let inner = self.inner();
        let notes = &inner.held.notes;
        let doubt = doubt(notes, attempt.spends.as_deref())?;
        let (_, result, _) = notes.last_refresh.as_ref()?;
        let now = self.now();
        if result != IN_DOUBT || doubt.in_grace(now, self.definition.rules.grace) {
            return None;
        }
        let until = inner.refreshed?.after(ONCE_A_MINUTE).at(now);
        (until > now.wall).then(|| Failure::Throttled {
            until,
            why: "it was not answered a moment ago".to_owned(),
        })
    }
}

pub(super) fn elsewhere() -> Failure {
    Failure::Store("another process refreshes it".to_owned())
}
