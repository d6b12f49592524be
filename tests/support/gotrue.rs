//! The rules of GoTrue (Supabase Auth): both generations of refresh tokens, what it takes for reuse, JWTs that stay valid
//! by their signature alone.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::canary::canary;

/// Which generation of refresh tokens is given out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tokens {
    /// Twelve letters; rows with a parent.
    First,
    /// A version, the session's id, a counter and a checksum.
    Second,
}

/// How a JWT says when it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exp {
    Number,
    Float,
    Text,
    None,
    /// It is no JWT at all.
    Opaque,
}

#[derive(Debug)]
pub struct Rules {
    pub tokens: Tokens,
    pub exp: Exp,
    /// Seconds that an access token lives.
    pub lifetime: u64,
    /// `REFRESH_TOKEN_REUSE_INTERVAL`.
    pub interval: Duration,
    /// How far this server's clock is ahead, in seconds.
    pub skew: i64,
    pub sessions: Vec<Session>,
    pub access: HashMap<String, Access>,
    pub counts: Counts,
    /// All tokens that were ever given out.
    pub issued: Vec<String>,
}

#[derive(Debug)]
pub struct Session {
    pub id: String,
    /// Deleted, by a logout or because a token was reused.
    pub ended: bool,
    /// All refresh tokens, the oldest first, and when each was given out.
    pub chain: Vec<(String, Instant)>,
}

#[derive(Debug)]
pub struct Access {
    pub session: usize,
    /// By the server's clock.
    pub ends: f64,
    pub revoked: bool,
    pub used: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub granted: u64,
    /// Of these, to a token that had been spent.
    pub reused: u64,
    pub families_revoked: u64,
    pub refused: u64,
}

/// Why a refresh token or a JWT is not taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refused {
    pub status: u16,
    pub code: &'static str,
    pub message: &'static str,
}

const fn refused(status: u16, code: &'static str, message: &'static str) -> Refused {
    Refused {
        status,
        code,
        message,
    }
}

const UNKNOWN: Refused = refused(
    400,
    "refresh_token_not_found",
    "Invalid Refresh Token: Refresh Token Not Found",
);
const USED: Refused = refused(
    400,
    "refresh_token_already_used",
    "Invalid Refresh Token: Already Used",
);
const GONE: Refused = refused(
    403,
    "session_not_found",
    "Session from session_id claim in JWT does not exist",
);
const BAD: Refused = refused(
    403,
    "bad_jwt",
    "invalid JWT: unable to parse or verify signature",
);
const MISSING: Refused = refused(
    401,
    "no_authorization",
    "This endpoint requires a valid Bearer token",
);

// === impl Rules ===

impl Rules {
    pub fn new() -> Self {
        Self {
            tokens: Tokens::First,
            exp: Exp::Number,
            lifetime: 3600,
            interval: Duration::from_secs(10),
            skew: 0,
            sessions: Vec::new(),
            access: HashMap::new(),
            counts: Counts::default(),
            issued: Vec::new(),
        }
    }

    /// The server's clock, in seconds.
    pub fn now(&self) -> f64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.expect("after 1970").as_secs_f64() + self.skew as f64
    }

    /// A person logs in; returns the answer.
    pub fn login(&mut self) -> Value {
        self.sessions.push(Session {
            id: uuid(),
            ended: false,
            chain: Vec::new(),
        });
        self.rotate(self.sessions.len() - 1)
    }

    /// Redeems a refresh token.
    pub fn redeem(&mut self, token: &str) -> Result<Value, Refused> {
        let result = self.try_redeem(token);
        match result {
            Ok(_) => self.counts.granted += 1,
            Err(_) => self.counts.refused += 1,
        }
        result
    }

    fn try_redeem(&mut self, token: &str) -> Result<Value, Refused> {
        let mut found = self
            .sessions
            .iter()
            .enumerate()
            .filter_map(|(number, session)| {
                let at = session.chain.iter().position(|(known, _)| known == token)?;
                Some((number, at))
            });
        let (number, at) = found.next().ok_or(UNKNOWN)?;
        let session = &mut self.sessions[number];
        if session.ended {
            return Err(UNKNOWN);
        }
        let newest = session.chain.len() - 1;
        if at == newest {
            return Ok(self.rotate(number));
        }
        let spent = session.chain[at + 1].1;
        if at + 1 == newest {
            // The parent of the active one, at any age: the client could not save it.
            self.counts.reused += 1;
            return Ok(self.answer(number));
        }
        if spent.elapsed() < self.interval {
            self.counts.reused += 1;
            return Ok(match self.tokens {
                Tokens::First => self.rotate(number),
                Tokens::Second => self.answer(number),
            });
        }
        session.ended = true;
        self.counts.families_revoked += 1;
        Err(USED)
    }

    /// What an access token opens at GoTrue.
    pub fn user(&mut self, bearer: Option<&str>) -> Result<Value, Refused> {
        let token = bearer.ok_or(MISSING)?;
        let access = self.access.get(token).filter(|a| self.is_good(a));
        let session = &self.sessions[access.ok_or(BAD)?.session];
        if session.ended {
            return Err(GONE);
        }
        let user = user(&session.id);
        self.verifies(bearer);
        Ok(user)
    }

    /// What an access token opens elsewhere: the signature and its end count, and nothing else.
    pub fn verifies(&mut self, bearer: Option<&str>) -> bool {
        let access = bearer.and_then(|token| self.access.get(token));
        let good = access.is_some_and(|access| self.is_good(access));
        let access = bearer.filter(|_| good);
        if let Some(access) = access.and_then(|token| self.access.get_mut(token)) {
            access.used = true;
        }
        good
    }

    /// Ends what was used; whoever has just been given a token finds it good.
    pub fn revoke_used(&mut self) {
        for access in self.access.values_mut() {
            access.revoked |= access.used;
        }
    }

    pub fn revoke_access(&mut self) {
        for access in self.access.values_mut() {
            access.revoked = true;
        }
    }

    fn is_good(&self, access: &Access) -> bool {
        !access.revoked && self.now() < access.ends
    }

    fn rotate(&mut self, number: usize) -> Value {
        let session = &mut self.sessions[number];
        let count = session.chain.len();
        let token = match self.tokens {
            Tokens::First => canary("").to_ascii_lowercase()[..12].to_owned(),
            Tokens::Second => {
                let mut bytes = vec![0];
                bytes.extend(&session.id.as_bytes()[..16]);
                // As a varint: seven bits a byte, the lowest first.
                let mut rest = count;
                while rest >= 0x80 {
                    bytes.push((rest % 0x80) as u8 | 0x80);
                    rest /= 0x80;
                }
                bytes.push(rest as u8);
                bytes.extend(&canary("").as_bytes()[..20]);
                URL_SAFE_NO_PAD.encode(bytes)
            }
        };
        session.chain.push((token.clone(), Instant::now()));
        self.issued.push(token);
        self.answer(number)
    }

    /// A token answer with the active refresh token and a new access token.
    fn answer(&mut self, number: usize) -> Value {
        let session = &self.sessions[number];
        let (now, lifetime) = (self.now(), self.lifetime);
        let ends = now + lifetime as f64;
        let mut claims = json!({
            "sub": format!("user-of-{}", session.id), "session_id": session.id, "role": "authenticated",
            "aud": "authenticated", "iat": now as u64, "email": "ann@example.test",
        });
        match self.exp {
            Exp::Number => claims["exp"] = json!(ends as u64),
            Exp::Float => claims["exp"] = json!(ends),
            Exp::Text => claims["exp"] = json!((ends as u64).to_string()),
            Exp::None | Exp::Opaque => {}
        }
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = if self.exp == Exp::Opaque {
            canary("opaque")
        } else {
            let head = part(r#"{"alg":"HS256","typ":"JWT"}"#);
            format!(
                "{head}.{}.{}",
                part(&claims.to_string()),
                part(&canary("jwt"))
            )
        };
        let access = Access {
            session: number,
            ends,
            revoked: false,
            used: false,
        };
        self.access.insert(token.clone(), access);
        self.issued.push(token.clone());
        let (refresh, _) = session.chain.last().expect("one at least");
        json!({
            "access_token": token, "token_type": "bearer", "expires_in": lifetime, "expires_at": ends as u64,
            "refresh_token": refresh, "user": user(&session.id),
        })
    }
}

fn user(session: &str) -> Value {
    json!({
        "id": format!("user-of-{session}"), "aud": "authenticated", "role": "authenticated",
        "email": "ann@example.test", "app_metadata": {}, "user_metadata": {}, "created_at": "2026-01-01T00:00:00Z",
    })
}

fn uuid() -> String {
    let bytes: Vec<u8> = canary("").bytes().collect();
    let hex: String = bytes[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (a, b, c, d, e) = (
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32],
    );
    format!("{a}-{b}-4{c}-a{d}-{e}")
}
