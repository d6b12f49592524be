//! Authorization servers by the rules of four real ones: what each makes of a refresh token that it has seen before.

use std::time::Duration;

use super::Random;

/// Whose rules.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rules {
    /// Only the immediately previous token, only for so long after its first use; else the family is revoked. Access
    /// tokens are JWTs and live on.
    Auth0 { leeway: Duration },
    /// As Auth0, but a reuse ends the access tokens too.
    Okta { grace: Duration },
    /// The token in use may come so often again, at any time; one that is older than the last refresh never. Either
    /// ends the session.
    Keycloak { max_reuse: u32 },
    /// The parent of the active token gets the active one, at any time; others a new one for so long after their first
    /// use; else the family is revoked. Access tokens are JWTs and live on, here and below.
    GoTrue { interval: Duration },
    /// By counter: one behind, or any within the interval after the last refresh, gets the active one; else the
    /// session is logged out.
    GoTrueCounted { interval: Duration },
}

#[derive(Clone, Debug)]
struct Token {
    parent: Option<usize>,
    issued: Duration,
    spent: Option<Duration>,
}

/// What a good answer brings: numbers of an access and a refresh token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) access: usize,
    pub(super) refresh: usize,
}

/// One server with one session; times are since it began.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) rules: Rules,
    pub(super) lifetime: Duration,
    tokens: Vec<Token>,
    active: usize,
    /// Keycloak: the token that was spent last, and how often.
    current: Option<(usize, u32)>,
    refreshed: Duration,
    pub(super) revoked: bool,
    /// The first token of the last login: it ended what there was before.
    pub(super) login: usize,
    /// Until when each access token is good.
    access: Vec<Duration>,
}

// === impl Rules ===

impl Rules {
    pub(super) fn random(random: &mut Random) -> Self {
        let grace = Duration::from_secs([0, 10, 10, 30][random.below(4) as usize]);
        // By default none, hosted ten seconds.
        let interval = grace.min(Duration::from_secs(10));
        match random.below(5) {
            0 => Self::Auth0 { leeway: grace },
            1 => Self::Okta { grace },
            2 => Self::Keycloak {
                max_reuse: random.below(3) as u32,
            },
            3 => Self::GoTrue { interval },
            _ => Self::GoTrueCounted { interval },
        }
    }

    /// Returns what a configuration says of it (`refresh.grace`).
    pub(super) fn grace(self) -> Option<Duration> {
        match self {
            Self::Auth0 { leeway: grace } | Self::Okta { grace } => Some(grace),
            // It is a count and no time: what is not hurried does not use it up.
            Self::Keycloak { .. } => Some(Duration::ZERO),
            Self::GoTrue { .. } | Self::GoTrueCounted { .. } => None,
        }
    }

    /// Tells how many answers in a row may be lost, however quickly the token is sent again.
    pub(super) fn survives(self) -> usize {
        match self {
            Self::Auth0 { leeway: grace } | Self::Okta { grace } if grace.is_zero() => 0,
            // Silence takes a third of the grace each.
            Self::Auth0 { .. } | Self::Okta { .. } => 2,
            Self::Keycloak { max_reuse } => max_reuse as usize,
            Self::GoTrue { .. } | Self::GoTrueCounted { .. } => usize::MAX,
        }
    }
}

// === impl Server ===

impl Server {
    pub(super) fn new(rules: Rules, lifetime: Duration) -> Self {
        Self {
            rules,
            lifetime,
            tokens: vec![Token {
                parent: None,
                issued: Duration::ZERO,
                spent: None,
            }],
            active: 0,
            current: None,
            refreshed: Duration::ZERO,
            revoked: false,
            login: 0,
            access: Vec::new(),
        }
    }

    /// Redeems a refresh token; `None`: `invalid_grant`.
    pub(super) fn redeem(&mut self, number: usize, now: Duration) -> Option<Pair> {
        if self.revoked || number < self.login {
            return None;
        }
        let refresh = match self.rules {
            Rules::Auth0 { leeway: grace } | Rules::Okta { grace } => {
                self.with_grace(number, grace, now)
            }
            Rules::Keycloak { max_reuse } => self.with_count(number, max_reuse, now),
            Rules::GoTrue { interval } => self.with_parent(number, interval, now),
            Rules::GoTrueCounted { interval } => self.with_counter(number, interval, now),
        };
        let Some(refresh) = refresh else {
            self.revoked = true;
            match self.rules {
                Rules::Okta { .. } | Rules::Keycloak { .. } => self.void(),
                Rules::Auth0 { .. } | Rules::GoTrue { .. } | Rules::GoTrueCounted { .. } => {}
            }
            return None;
        };
        self.tokens[number].spent.get_or_insert(now);
        self.refreshed = now;
        Some(self.pair(refresh, now))
    }

    fn pair(&mut self, refresh: usize, now: Duration) -> Pair {
        self.access.push(now + self.lifetime);
        Pair {
            access: self.access.len() - 1,
            refresh,
        }
    }

    /// Begins a session anew.
    pub(super) fn sign_in(&mut self, now: Duration) -> Pair {
        self.login = self.tokens.len();
        (self.revoked, self.current, self.refreshed) = (false, None, now);
        self.tokens.push(Token {
            parent: None,
            issued: now,
            spent: None,
        });
        self.active = self.login;
        self.pair(self.active, now)
    }

    /// Tells whether a refresh token would be redeemed.
    pub(super) fn takes(&self, number: usize, now: Duration) -> bool {
        self.clone().redeem(number, now).is_some()
    }

    fn with_grace(&mut self, number: usize, grace: Duration, now: Duration) -> Option<usize> {
        let is_parent = self.tokens[self.active].parent == Some(number);
        let spent = self.tokens[number].spent;
        let good = number == self.active || is_parent && spent.is_some_and(|at| now - at < grace);
        good.then(|| self.issue(number, now))
    }

    fn with_count(&mut self, number: usize, max_reuse: u32, now: Duration) -> Option<usize> {
        // Its times are whole seconds.
        let (issued, refreshed) = (
            self.tokens[number].issued.as_secs(),
            self.refreshed.as_secs(),
        );
        let uses = match self.current {
            Some((current, uses)) if current == number => uses,
            Some(_) if issued < refreshed => return None,
            Some(_) | None => 0,
        };
        if uses > max_reuse {
            return None;
        }
        self.current = Some((number, uses + 1));
        Some(self.issue(number, now))
    }

    fn with_parent(&mut self, number: usize, interval: Duration, now: Duration) -> Option<usize> {
        if self.tokens[self.active].parent == Some(number) {
            return Some(self.active);
        }
        let within = self.tokens[number]
            .spent
            .is_some_and(|at| now - at < interval);
        (number == self.active || within).then(|| self.issue(number, now))
    }

    fn with_counter(&mut self, number: usize, interval: Duration, now: Duration) -> Option<usize> {
        if number == self.active {
            return Some(self.issue(number, now));
        }
        // Numbers are counters: every token is the child of the one before.
        let good = self.active - number == 1 || now - self.refreshed < interval;
        good.then_some(self.active)
    }

    fn issue(&mut self, parent: usize, now: Duration) -> usize {
        self.tokens.push(Token {
            parent: Some(parent),
            issued: now,
            spent: None,
        });
        self.active = self.tokens.len() - 1;
        self.active
    }

    /// Ends the access tokens that are out.
    pub(super) fn void(&mut self) {
        self.access.fill(Duration::ZERO);
    }

    /// Tells whether the origin takes an access token.
    pub(super) fn accepts(&self, access: usize, now: Duration) -> bool {
        self.access.get(access).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    /// Spends these tokens at these seconds, and returns whether the session lives after each.
    fn lives(rules: Rules, spends: &[(usize, u32)]) -> Vec<bool> {
        let mut server = Server::new(rules, 60 * S);
        let redeemed = spends
            .iter()
            .map(|(token, at)| server.redeem(*token, *at * S));
        redeemed.map(|pair| pair.is_some()).collect()
    }

    #[test]
    fn each_server_has_its_own_rules() {
        let auth0 = Rules::Auth0 { leeway: 10 * S };
        let strict = Rules::Okta {
            grace: Duration::ZERO,
        };
        let keycloak = |max_reuse| Rules::Keycloak { max_reuse };
        let gotrue = Rules::GoTrue { interval: 10 * S };
        let counted = Rules::GoTrueCounted { interval: 10 * S };
        let cases = [
            (auth0, &[(0, 1), (1, 2), (2, 90)][..], "yyy"),
            (auth0, &[(0, 1), (0, 10), (2, 20)], "yyy"),
            (auth0, &[(0, 1), (0, 12), (1, 13)], "ynn"),
            // What the last answer did not bring is no good any more; nor is a grandparent.
            (auth0, &[(0, 1), (0, 2), (1, 3)], "yyn"),
            (auth0, &[(0, 1), (1, 2), (0, 3)], "yyn"),
            (strict, &[(0, 1), (0, 1)], "yn"),
            (keycloak(0), &[(0, 1), (1, 9), (1, 9)], "yyn"),
            (keycloak(1), &[(0, 1), (0, 99), (0, 99)], "yyn"),
            (keycloak(1), &[(0, 1), (1, 9), (0, 9)], "yyn"),
            (gotrue, &[(0, 1), (0, 9999), (1, 10_000)], "yyy"),
            // What a token within the interval gets is its child, and so it is a parent again.
            (gotrue, &[(0, 1), (1, 5), (0, 9), (0, 20)], "yyyy"),
            (gotrue, &[(0, 1), (1, 5), (0, 20)], "yyn"),
            (counted, &[(0, 1), (0, 9999), (1, 10_000)], "yyy"),
            (counted, &[(0, 1), (1, 5), (0, 9), (0, 30)], "yyyn"),
        ];
        for (rules, spends, expected) in cases {
            let expected: Vec<bool> = expected.chars().map(|c| c == 'y').collect();
            assert_eq!(lives(rules, spends), expected, "{rules:?} {spends:?}");
        }
    }
}
