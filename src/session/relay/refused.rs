//! A client's refresh that brought nothing, and what the others are told of it.

use std::time::{Duration, SystemTime};

use super::super::{Session, flight::IN_DOUBT, history::name, write::OK};
use crate::{
    life::Failure,
    store::{self, Durability},
};

/// A client's refresh that brought nothing.
#[derive(Clone)]
pub(super) struct Refused {
    failure: Failure,
    /// An earlier call with the token was not answered.
    doubted: bool,
    /// One may still be answered.
    awaited: bool,
    at: SystemTime,
    took: Duration,
}

// === impl Refused ===

impl Refused {
    fn is_unanswered(&self) -> bool {
        self.awaited || matches!(self.failure, Failure::InDoubt { .. })
    }
}

// === impl Session ===

impl Session {
    /// Notes a refresh that brought nothing; returns what could not be noted and is to be.
    pub(super) async fn refused(
        &self,
        failure: &Failure,
        (doubted, awaited): (bool, bool),
        took: Duration,
    ) -> Option<Refused> {
        self.counters.attempt(failure.name(), took);
        let asked = self.inner().asked.clone().taking(took);
        let detail = format!("asked by a client: {failure}");
        self.record_of(name::FAILED, detail, asked);
        let refused = Refused {
            failure: failure.clone(),
            doubted,
            awaited,
            at: self.shared.env.wall(),
            took,
        };
        let error = self.note_refused(&refused).await.err()?;
        tracing::warn!(session = %self.id, %error, "the session's notes were not stored");
        refused.is_unanswered().then_some(refused)
    }

    /// What was answered is not in doubt, unless it was before.
    pub(super) async fn note_refused(&self, refused: &Refused) -> Result<(), store::Error> {
        let Refused {
            failure,
            doubted,
            at,
            took,
            awaited: _,
        } = refused;
        let ended = |name: &str| Some((*at, name.to_owned(), took.as_millis() as u64));
        self.note(Durability::Written, |notes| {
            let succeeded = |(_, result, _): &(_, String, _)| result == OK;
            if refused.is_unanswered() {
                // Whoever has the lease next sends it no sooner than after a minute, if its grace is over.
                notes.last_refresh = ended(IN_DOUBT);
            } else if !*doubted && !matches!(failure, Failure::NotAnAnswer(_)) {
                notes.attempt = None;
            } else if notes.last_refresh.as_ref().is_none_or(succeeded) {
                // It is more than a note now: this call is known to have ended.
                notes.last_refresh = ended(failure.name());
            }
        })
        .await?;
        // The life learns what the journal says now.
        self.take_up(true).await
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{asks, recipe, standin, started},
        *,
    };
    use crate::{
        session::{
            bench::Bench,
            double::{Authority, Fault},
            tests::{about, pass},
        },
        store::Store,
    };

    /// The store takes no note when a client's refresh is given up: the right to refresh is kept until it does.
    #[tokio::test(start_paused = true)]
    async fn who_cannot_note_a_clients_doubt_keeps_the_right() {
        let mut authority = Authority::new();
        authority.grace = Duration::ZERO;
        let bench = Bench::of(authority);
        let Store::Memory(store) = &bench.store else {
            unreachable!("tests are in memory")
        };
        let mut recipe = recipe(true);
        recipe.refresh.grace = Some(Duration::ZERO);
        let (_sessions, one) = started(&bench, recipe.clone()).await;
        let (_others, two) = bench.peer().open(recipe).await;
        store.rough().begin(1);
        bench.authority.then(Fault::LoseRequest);
        let presented = standin(&one);
        let asked = one.relay(asks(&one, &presented));
        let (asked, ()) = tokio::join!(asked, async {
            pass(0.02).await;
            store.rough().fill(true);
        });
        assert!(matches!(asked, Err(Failure::InDoubt { .. })), "{asked:?}");
        store.rough().fill(false);
        // At once, before it is tried again to note it.
        for _ in 0..10 {
            two.reject(two.generation(), about()).await;
            assert_eq!(bench.authority.calls(), 2);
            pass(5.0).await;
        }
        pass(30.0).await;
        assert_eq!(bench.authority.calls(), 3, "once a minute");
        assert!(two.ready().is_some());
    }
}
