//! What an answer teaches: rotated cookies to the session that sent the request, captured fields to whichever session
//! captures them. Nothing is passed on before it is stored.

use std::sync::Arc;

use http::{HeaderMap, header::SET_COOKIE};

use super::{
    World,
    error::{Error, Kind},
    exchange::Exchange,
    requests::Scope,
};
use crate::{
    grant::Generation,
    rule::matcher::Captured,
    secret::Secret,
    session::{Answer, Session},
};

/// What an answer has for the sessions.
pub(super) struct Taught<'a> {
    pub headers: &'a HeaderMap,
    pub rejected: bool,
    /// For each capture, the fields that were taken.
    pub fields: &'a [Vec<(String, Secret)>],
}

impl Exchange<'_> {
    /// Lets the sessions learn from an answer; returns when it is stored.
    #[allow(clippy::too_many_arguments)] // whom it concerns, and what was seen
    pub(super) async fn teach(
        &self,
        world: &World,
        scope: &Scope,
        captures: &[Captured<'_>],
        session: Option<&Arc<Session>>,
        seen: Generation,
        taught: Taught<'_>,
    ) -> Result<(), Error> {
        let Taught {
            headers,
            rejected,
            fields: taken,
        } = taught;
        let stored = |e: Arc<crate::store::Error>| Error::from(Kind::Store).because(e);
        if let Some(session) = session {
            let own = captures.iter().zip(taken);
            let own = own.filter(|(c, _)| {
                Arc::ptr_eq(world.sessions.matcher().recipe(c.recipe), session.recipe())
            });
            let fields: Vec<_> = own.flat_map(|(_, fields)| fields.iter().cloned()).collect();
            if !fields.is_empty() || headers.contains_key(SET_COOKIE) {
                let answer = Answer {
                    seen,
                    about: self.about(),
                    headers,
                    rejected,
                    fields,
                };
                // What is rare is in boxes: an exchange holds no room for it.
                Box::pin(session.learn(answer)).await.map_err(stored)?;
            }
        }
        for (capture, fields) in captures.iter().zip(taken) {
            let other = world
                .sessions
                .session(capture.recipe, scope.client.as_ref());
            if fields.is_empty() || session.is_some_and(|s| Arc::ptr_eq(s, &other)) {
                continue;
            }
            let answer = Answer {
                seen: other.generation(),
                about: self.about(),
                headers: &HeaderMap::new(),
                rejected: false,
                fields: fields.clone(),
            };
            Box::pin(other.learn(answer)).await.map_err(stored)?;
        }
        if let Some(stake) = self.stake {
            stake.settle();
        }
        Ok(())
    }
}
