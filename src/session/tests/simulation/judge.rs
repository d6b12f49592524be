//! What calls that were refused say about the engine: whose fault a reuse was, and how much its server had forgiven.

use std::time::Duration;

use super::{
    fate::Fate,
    server::{Pair, Server},
    wire::{Inner, World},
};

/// After so long no call is waited for.
const GIVEN_UP: Duration = Duration::from_secs(10);

/// For so long what clocks and disks have upset may show.
const AFTERSHOCK: Duration = Duration::from_secs(30);

/// What is said of a loss that nothing excuses.
pub(super) const LOST: &str = "the session was lost, though its server forgives as much";

/// One call, as it is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) process: usize,
    pub(super) token: usize,
    pub(super) sent: Duration,
    pub(super) fate: Option<Fate>,
    pub(super) acted: u32,
    /// What came back to a process that lived, and when.
    pub(super) delivered: Option<(Duration, Pair)>,
    /// That process crashed before it could store it.
    pub(super) lost: bool,
    /// The server acted on a later call with the same token before.
    pub(super) overtaken: bool,
}

// === impl World ===

impl World {
    pub(super) fn trouble(&self) {
        let now = self.now();
        self.inner().trouble = Some(now);
    }

    /// Notes that clocks or disks could not be relied on from then until now.
    pub(super) fn shook(&self, since: Duration) {
        self.trouble();
        let now = self.now();
        self.inner().shaken.push((since, now));
    }

    /// Tells whether something went wrong not long ago.
    pub(super) fn is_troubled(&self, ago: Duration) -> bool {
        let inner = self.inner();
        let now = self.now_in(&inner);
        inner.server.revoked || inner.trouble.is_some_and(|at| now - at < ago)
    }

    /// A process is suspended: what it was told and has not stored may be as good as lost, and so may what it is just
    /// being told.
    pub(super) fn suspended(&self, process: usize, stored: usize) {
        let mut inner = self.inner();
        let now = self.now_in(&inner);
        inner.suspended[process] = true;
        let mut late = false;
        for call in inner
            .calls
            .iter_mut()
            .filter(|call| call.process == process)
        {
            match call.delivered {
                Some((_, pair)) if pair.refresh > stored => (call.lost, late) = (true, true),
                None if now - call.sent < Duration::from_secs(60) => late = true,
                Some(_) | None => {}
            }
        }
        inner.unsavable |= late;
    }

    /// A database that was locked can be read again: what came late meanwhile, to a call that was given up, waits for
    /// a lease that another process may have, and that one spends the token first.
    pub(super) fn unlocked(&self, since: Duration) {
        for call in &mut self.inner().calls {
            let late = call
                .delivered
                .is_some_and(|(at, _)| at >= since && at - call.sent > GIVEN_UP);
            call.lost |= late;
        }
    }

    /// The one excuse for a reuse: nothing newer had come when the token was sent. An answer to an earlier call than
    /// the one that brought it is not newer, and one that the server does not take any more is none.
    pub(super) fn judge_reuse(&self, call: usize, before: &Server) {
        let mut inner = self.inner();
        let now = self.now_in(&inner);
        let Call { token, sent, .. } = inner.calls[call];
        inner.revoked_by = Some((call, now));
        // It was sent in time, and arrived too late.
        inner.unsavable |= matches!(inner.calls[call].fate, Some(Fate::LateRequest(_)));
        let brought = inner.brought(token);
        let asked = brought.map(|call| call.sent).unwrap_or_default();
        // Within the grace, a call whose answer was lost leaves no other way than to send the token once more.
        let first = inner
            .calls
            .iter()
            .find(|call| call.token == token && call.acted > 0);
        let grace = inner.server.rules.grace();
        let in_grace =
            first.is_some_and(|first| grace.is_none_or(|grace| sent - first.sent < grace));
        let newer = inner
            .calls
            .iter()
            .enumerate()
            .filter_map(|(number, other)| {
                let (at, pair) = other.delivered?;
                let between = inner.calls.get(number + 1..call).unwrap_or_default();
                let in_doubt = between.iter().any(|call| {
                    call.token == token && call.delivered.is_none_or(|(at, _)| at > sent)
                });
                let newer = at <= sent
                    && pair.refresh > token
                    && other.sent >= asked
                    && !other.overtaken
                    && !(in_grace && in_doubt)
                    && before.takes(pair.refresh, now);
                let text = || {
                    format!(
                        "call {call} spends rt-{token} after call {number} had brought rt-{}",
                        pair.refresh
                    )
                };
                newer.then(|| (number, text()))
            });
        let newer: Vec<_> = newer.collect();
        inner.reuses.extend(newer);
    }
}

// === impl Inner ===

impl Inner {
    /// Tells whether the session was lost without an excuse.
    pub(super) fn is_lost(&self) -> bool {
        let survives = self.server.rules.survives();
        let excused = self.gone_wrong() > survives || self.unsavable || self.was_shaken();
        self.server.revoked && !excused
    }

    /// Returns how often it had gone wrong with the token that was taken for a stolen one, and with its parent: once
    /// for each call, and once more for one that arrived twice and whose answer was lost. What the server has not acted
    /// on costs nothing where it counts uses, and time where it measures that.
    pub(super) fn gone_wrong(&self) -> usize {
        let timed = self
            .server
            .rules
            .grace()
            .is_none_or(|grace| !grace.is_zero());
        self.concerned()
            .filter(|(_, call)| timed || call.acted > 0)
            .map(|(number, call)| {
                let last = self.revoked_by.is_some_and(|(last, _)| last == number);
                let lost = (call.delivered.is_none() || call.lost) && !last;
                let twice = lost && call.acted > 1;
                usize::from(call.fate.is_some() || lost) + usize::from(twice)
            })
            .sum()
    }

    /// Tells whether clocks or disks could not be relied on while the token was spent that was taken for a stolen one.
    pub(super) fn was_shaken(&self) -> bool {
        let first = self.concerned().map(|(_, call)| call.sent).min();
        let (Some(first), Some((_, last))) = (first, self.revoked_by) else {
            return false;
        };
        let first = first.saturating_sub(AFTERSHOCK);
        let mut shaken = self.shaken.iter();
        shaken.any(|(from, until)| *from <= last && first <= *until)
    }

    /// The calls with the token that was taken for a stolen one, and with its parent, up to the one that ended it.
    fn concerned(&self) -> impl Iterator<Item = (usize, &Call)> {
        let last = self.revoked_by.map(|(last, _)| last);
        let token = last.map(|last| self.calls[last].token);
        let parent = token.map(|token| self.brought(token).map_or(token, |call| call.token));
        let until = last.map_or(0, |last| last + 1);
        let calls = self.calls[..until].iter().enumerate();
        calls.filter(move |(_, call)| Some(call.token) == token || Some(call.token) == parent)
    }

    /// Returns the call whose answer brought a refresh token.
    pub(super) fn brought(&self, token: usize) -> Option<&Call> {
        let brings = |call: &&Call| {
            call.delivered
                .is_some_and(|(_, pair)| pair.refresh == token)
        };
        self.calls.iter().find(brings)
    }
}
