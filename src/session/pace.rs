//! `pace`: requests wait until they may go, in the order in which they came; who no longer waits has left the queue.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};

use super::Session;
use crate::rule::Pace;

/// Lets requests go at a session's pace.
#[derive(Debug)]
pub(super) struct Pacer {
    pub(super) pace: Pace,
    /// Whoever is the next waits for the time; the others for this, in order.
    next: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the last requests went, as many as may go within the span.
    gone: VecDeque<Instant>,
    waiting: usize,
}

/// The request would have to wait longer than `limits.serial_wait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session's pace is used up")]
pub struct Paced {
    /// When there is room again.
    pub retry_after: Duration,
}

/// A place in the queue.
struct Place<'a>(&'a Pacer);

// === impl Pacer ===

impl Pacer {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            next: Semaphore::new(1),
            state: Mutex::default(),
        }
    }

    /// Waits until one more may go; refuses at once what would wait for longer than `most`.
    pub(super) async fn wait(&self, most: Duration) -> Result<(), Paced> {
        let place = {
            let now = Instant::now();
            let mut state = self.state();
            let wait = state.slot(self.pace, now, state.waiting) - now;
            if wait > most {
                return Err(Paced { retry_after: wait });
            }
            state.waiting += 1;
            Place(self)
        };
        // It is never closed.
        let _next = self.next.acquire().await.ok();
        let at = self.state().slot(self.pace, Instant::now(), 0);
        sleep_until(at).await;
        self.state().go(self.pace, Instant::now());
        drop(place);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Returns when a request may go before which so many others wait.
    fn slot(&self, pace: Pace, now: Instant, before: usize) -> Instant {
        let most = pace.requests as usize;
        let rounds = u32::try_from(before / most).unwrap_or(u32::MAX);
        let first = (self.gone.len() + before % most)
            .checked_sub(most)
            .and_then(|at| self.gone.get(at))
            .map_or(now, |gone| now.max(*gone + pace.within));
        first + pace.within.saturating_mul(rounds)
    }

    fn go(&mut self, pace: Pace, now: Instant) {
        if self.gone.len() >= pace.requests as usize {
            self.gone.pop_front();
        }
        self.gone.push_back(now);
    }
}

// === impl Place ===

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

// === impl Session ===

impl Session {
    /// Waits until the session's pace lets one more request go, at most `limits.serial_wait`; at once without a pace.
    /// The order is that of asking, and who no longer waits has left the queue.
    pub async fn pace(&self) -> Result<(), Paced> {
        match &self.pacer {
            Some(pacer) => pacer.wait(self.shared.limits.serial_wait).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn pacer(pace: &str) -> Arc<Pacer> {
        Arc::new(Pacer::new(pace.parse().unwrap()))
    }

    /// Asks so many times at once, and returns after how many milliseconds each went, in the order of asking.
    async fn ask(pacer: &Arc<Pacer>, times: usize, most: Duration) -> Vec<Result<u128, Paced>> {
        let begun = Instant::now();
        let asked = (0..times).map(|_| async move {
            pacer.wait(most).await?;
            Ok(begun.elapsed().as_millis())
        });
        futures_util::future::join_all(asked).await
    }

    #[tokio::test(start_paused = true)]
    async fn no_span_has_more_than_its_requests() {
        let two = pacer("2/s");
        let went = ask(&two, 6, LONG).await;
        let at = |ms: u128| ms..ms + 3;
        let expected = [0, 0, 1000, 1000, 2000, 2000];
        for (went, expected) in went.iter().zip(expected) {
            let went = went.as_ref().unwrap();
            assert!(at(expected).contains(went), "{went} for {expected}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        // The last two are half a second ago.
        let went = ask(&two, 1, LONG).await;
        assert!((490..=510).contains(went[0].as_ref().unwrap()), "{went:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_too_long_is_told_when_to_come_again() {
        let two = pacer("2/s");
        let went = ask(&two, 10, Duration::from_secs(3)).await;
        let refused: Vec<_> = went.iter().filter_map(|w| w.as_ref().err()).collect();
        assert_eq!(refused.len(), 2, "{went:?}");
        assert!(
            refused
                .iter()
                .all(|paced| { (3900..=4100).contains(&paced.retry_after.as_millis()) })
        );
        assert_eq!(two.state().waiting, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_takes_no_place() {
        let one = pacer("1/10s");
        one.wait(LONG).await.unwrap();
        let leave = |pacer: Arc<Pacer>| tokio::spawn(async move { pacer.wait(LONG).await });
        let leaving: Vec<_> = (0..3).map(|_| leave(Arc::clone(&one))).collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(one.state().waiting, 3);
        for leaving in leaving {
            leaving.abort();
            assert!(leaving.await.is_err(), "it left");
        }
        let went = ask(&one, 1, LONG).await;
        assert!(
            (8990..=9010).contains(went[0].as_ref().unwrap()),
            "{went:?}"
        );
    }
}
