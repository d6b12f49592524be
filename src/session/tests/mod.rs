//! The engine under paused time, with a memory store and a double for the authorization server.

mod cooldown;
mod doubt;
mod figures;
mod healed;
mod heartbeat;
mod history;
mod late;
mod learning;
mod once;
mod people;
mod places;
mod providers;
mod refreshing;
mod shared;
mod simulation;

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use http::{HeaderMap, header::SET_COOKIE};

use super::{About, Answer, Current, Session, bench::Bench};
use crate::{grant::Generation, origin::Origin};

/// What the requests of these tests ask for.
pub(super) fn about() -> About<'static> {
    asks("/")
}

fn asks(path: &str) -> About<'_> {
    static ORIGIN: LazyLock<Origin> = LazyLock::new(|| "https://site.example".parse().unwrap());
    About {
        method: &http::Method::GET,
        origin: &ORIGIN,
        path,
        client: None,
    }
}

/// Returns what the first injection says.
fn injected(current: &Current) -> String {
    match &current.ready[0].value {
        crate::rule::inject::Value::Fixed(value) => value.to_str().unwrap().to_owned(),
        crate::rule::inject::Value::EachTime(_) => unreachable!(),
    }
}

/// An answer with these `Set-Cookie` fields.
async fn answer(session: &Session, seen: Generation, rejected: bool, cookies: &[&str]) {
    let mut headers = HeaderMap::new();
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie.parse().unwrap());
    }
    let answer = Answer {
        seen,
        about: about(),
        headers: &headers,
        rejected,
        fields: Vec::new(),
    };
    session.learn(answer).await.unwrap();
}

fn sent(session: &Session, bench: &Bench) -> String {
    let origin: Origin = "https://site.example".parse().unwrap();
    let current = session.current.load_full();
    let jar = current.map(|current| Arc::clone(&current.jar));
    let value = jar.and_then(|jar| jar.cookie_string(&origin, "/", bench.env.wall()));
    value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

fn names(session: &Session) -> Vec<&'static str> {
    session.history().iter().map(|event| event.name).collect()
}

fn count(session: &Session, name: &str) -> usize {
    names(session).iter().filter(|n| **n == name).count()
}

pub(super) async fn pass(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}
