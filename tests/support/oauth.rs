//! The rules of an OAuth server that rotates its refresh tokens and takes reuse as theft.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use super::canary::canary;

/// How strict the server is.
#[derive(Clone, Debug)]
pub struct Policy {
    pub lifetime: Duration,
    /// Whether each refresh brings a new refresh token.
    pub rotate: bool,
    /// How long the token before the newest works while the newest is unused.
    pub grace: Duration,
}

/// One login and what came of it: the newest refresh token, and the one before.
#[derive(Debug)]
struct Family {
    revoked: bool,
    newest: String,
    newest_used: bool,
    previous: Option<(String, Instant)>,
}

#[derive(Debug)]
struct Access {
    family: usize,
    refresh: String,
    ends: Instant,
    revoked: bool,
    uses: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Refreshes that were granted.
    pub granted: u64,
    /// Of these, the ones granted to the token before the newest.
    pub in_grace: u64,
    /// Refreshes refused with `invalid_grant`.
    pub refused: u64,
    /// Families revoked because a spent token came again.
    pub families_revoked: u64,
    /// Access tokens ended before their time.
    pub revoked_early: u64,
    /// Requests with a good access token, and with another or none.
    pub accepted: u64,
    pub rejected: u64,
}

pub struct Oauth {
    pub policy: Policy,
    pub counts: Counts,
    families: Vec<Family>,
    refresh: HashMap<String, usize>,
    access: HashMap<String, Access>,
    /// Every token ever given out.
    pub issued: Vec<String>,
    redeemed: HashSet<String>,
    /// Refresh tokens that came more than once.
    pub repeated: u64,
}

#[derive(Clone, Debug)]
pub struct Pair {
    pub access: String,
    pub refresh: String,
}

// === impl Policy ===

impl Policy {
    pub fn lifetime(seconds: f64) -> Self {
        Self {
            lifetime: Duration::from_secs_f64(seconds),
            rotate: true,
            grace: Duration::from_secs(10),
        }
    }

    pub fn without_grace(self) -> Self {
        Self {
            grace: Duration::ZERO,
            ..self
        }
    }
}

// === impl Oauth ===

impl Oauth {
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            counts: Counts::default(),
            families: Vec::new(),
            refresh: HashMap::new(),
            access: HashMap::new(),
            issued: Vec::new(),
            redeemed: HashSet::new(),
            repeated: 0,
        }
    }

    /// A person logs in: a new family.
    pub fn login(&mut self, now: Instant) -> Pair {
        self.families.push(Family {
            revoked: false,
            newest: String::new(),
            newest_used: false,
            previous: None,
        });
        self.issue(self.families.len() - 1, now)
    }

    /// Redeems a refresh token.
    pub fn redeem(&mut self, token: &str, now: Instant) -> Option<Pair> {
        if !self.redeemed.insert(token.to_owned()) {
            self.repeated += 1;
        }
        let pair = self.try_redeem(token, now);
        match pair {
            Some(_) => self.counts.granted += 1,
            None => self.counts.refused += 1,
        }
        pair
    }

    fn try_redeem(&mut self, token: &str, now: Instant) -> Option<Pair> {
        let number = *self.refresh.get(token)?;
        let family = &mut self.families[number];
        if family.revoked {
            return None;
        }
        if family.newest == token {
            return Some(self.issue(number, now));
        }
        let in_grace = family.previous.as_ref().is_some_and(|(previous, since)| {
            previous == token && now - *since <= self.policy.grace
        });
        if in_grace && !family.newest_used {
            self.counts.in_grace += 1;
            let since = family.previous.clone();
            let pair = self.issue(number, now);
            // The grace runs from the first rotation, and what was given then is void.
            self.families[number].previous = since;
            return Some(pair);
        }
        family.revoked = true;
        self.counts.families_revoked += 1;
        None
    }

    fn issue(&mut self, number: usize, now: Instant) -> Pair {
        let family = &mut self.families[number];
        let access = canary("at");
        if self.policy.rotate || family.newest.is_empty() {
            let refresh = canary("rt");
            let spent = std::mem::replace(&mut family.newest, refresh.clone());
            family.previous = (!spent.is_empty()).then_some((spent, now));
            family.newest_used = false;
            self.refresh.insert(refresh.clone(), number);
            self.issued.push(refresh);
        }
        let refresh = family.newest.clone();
        self.issued.push(access.clone());
        let ends = now + self.policy.lifetime;
        let granted = Access {
            family: number,
            refresh: refresh.clone(),
            ends,
            revoked: false,
            uses: 0,
        };
        self.access.insert(access.clone(), granted);
        Pair { access, refresh }
    }

    /// Whether a request with this access token is let in.
    pub fn admit(&mut self, token: &str, now: Instant) -> bool {
        let families = &mut self.families;
        let good = self.access.get_mut(token).is_some_and(|access| {
            let family = &mut families[access.family];
            let good = !access.revoked && !family.revoked && now < access.ends;
            if good {
                access.uses += 1;
                family.newest_used |= access.refresh == family.newest;
            }
            good
        });
        if good {
            self.counts.accepted += 1;
        } else {
            self.counts.rejected += 1;
        }
        good
    }

    /// Ends every running access token that was used at least once; says how many.
    pub fn revoke_used(&mut self, now: Instant) -> u64 {
        let mut ended = 0;
        for access in self.access.values_mut() {
            if access.uses > 0 && !access.revoked && now < access.ends {
                access.revoked = true;
                ended += 1;
            }
        }
        self.counts.revoked_early += ended;
        ended
    }

    /// Ends all access tokens, used or not.
    pub fn revoke_all_access(&mut self) {
        for access in self.access.values_mut() {
            access.revoked = true;
        }
    }

    pub fn alive(&self) -> bool {
        self.families.iter().all(|family| !family.revoked)
    }
}
