//! Sites whose session is a cookie that changes with every answer.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::header;

use super::{
    canary::canary,
    origin::{self, Builder, Reply},
    routes,
};

/// What happens to whoever comes with a value more than one generation old.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    /// The session ends.
    Strict,
    /// 401, and the session lives.
    Mild,
}

/// A site that rotates its cookie `sid` on every response.
#[derive(Clone)]
pub struct Rotating(Arc<Mutex<State>>);

pub struct State {
    manner: Manner,
    /// All values of the session, oldest first.
    pub values: Vec<String>,
    pub ended: bool,
    pub accepted: u64,
    /// Requests with another value than the newest, be it accepted or not.
    pub behind: u64,
    pub rejected: u64,
    /// How often somebody logged in.
    pub logins: u64,
    pub work: Duration,
}

impl Rotating {
    pub fn new(manner: Manner) -> Self {
        Self(Arc::new(Mutex::new(State {
            manner,
            values: vec![canary("sid")],
            ended: false,
            accepted: 0,
            behind: 0,
            rejected: 0,
            logins: 0,
            work: Duration::from_millis(2),
        })))
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// The value that a person's browser holds now.
    pub fn newest(&self) -> String {
        self.with(|state| state.values.last().expect("one at least").clone())
    }

    pub fn site(&self, name: &str) -> Builder {
        let this = self.clone();
        origin::origin(&[name]).handler(move |request| {
            let this = this.clone();
            async move {
                if request.uri().path() == "/login" {
                    return Ok(this.login());
                }
                let cookies = request.headers().get_all(header::COOKIE).iter();
                let value = cookies
                    .filter_map(|line| line.to_str().ok())
                    .flat_map(|line| line.split("; "))
                    .find_map(|pair| pair.strip_prefix("sid=").map(str::to_owned));
                let work = this.with(|state| state.work);
                let next = this.with(|state| state.visit(value.as_deref()));
                tokio::time::sleep(work).await;
                Ok(match next {
                    Some(next) => with_cookie(routes::text("welcome back"), &next),
                    None => routes::unauthorized(),
                })
            }
        })
    }

    /// A login form's target: a new session.
    fn login(&self) -> Reply {
        let value = self.with(|state| {
            state.logins += 1;
            state.ended = false;
            state.values = vec![canary("sid")];
            state.values[0].clone()
        });
        with_cookie(routes::text("signed in"), &value)
    }
}

impl State {
    /// Returns the value that the answer sets, or nothing for a 401.
    fn visit(&mut self, value: Option<&str>) -> Option<String> {
        let newest = self.values.len() - 1;
        let held = value.and_then(|value| self.values.iter().rposition(|known| known == value));
        self.behind += u64::from(held != Some(newest));
        let good = !self.ended && held.is_some_and(|held| held + 1 >= newest);
        if !good {
            self.rejected += 1;
            self.ended |= held.is_some() && self.manner == Manner::Strict;
            return None;
        }
        self.accepted += 1;
        self.values.push(canary("sid"));
        self.values.last().cloned()
    }
}

fn with_cookie(mut reply: Reply, value: &str) -> Reply {
    let cookie = format!("sid={value}; Path=/; Secure; HttpOnly; Max-Age=86400");
    reply
        .headers_mut()
        .insert(header::SET_COOKIE, cookie.parse().unwrap());
    reply
}

/// A site that counts visits in an unimportant cookie, on every answer, 401s included, and whose session is dead.
pub fn dead_site(name: &str) -> Builder {
    let visits = Arc::new(Mutex::new(0_u64));
    origin::origin(&[name]).handler(move |request| {
        let visits = visits.clone();
        async move {
            let number = {
                let mut visits = visits.lock().unwrap();
                *visits += 1;
                *visits
            };
            let mut reply = if request.uri().path() == "/login" {
                let mut reply = routes::text("signed in, you think");
                reply.headers_mut().append(
                    header::SET_COOKIE,
                    format!("sid=new{number}; Path=/").parse().unwrap(),
                );
                reply
            } else {
                routes::unauthorized()
            };
            reply.headers_mut().append(
                header::SET_COOKIE,
                format!("visits={number}; Path=/").parse().unwrap(),
            );
            Ok(reply)
        }
    })
}
