//! Bodies in which a session's values stand: what is put into a request's.

use http::request::Parts;

use super::{
    error::{Error, Kind},
    exchange::Exchange,
    whole::Whole,
};
use crate::{
    rule::inject::{self, Applied, Attempt},
    session::{Current, Session},
    upstream::Body,
};

impl Exchange<'_> {
    /// Puts a session's values into a body, and returns what to send, with what of the session is on the request then.
    pub(super) fn sign_body(
        &self,
        parts: &mut Parts,
        whole: &Whole,
        session: &Session,
        current: Option<&Current>,
        (attempt, applied): (Attempt, Applied),
    ) -> Result<(Body, Applied), Error> {
        let Some(current) = current.filter(|_| applied != Applied::Presigned) else {
            return Ok((whole.send(&mut parts.headers, None), applied));
        };
        let recipe = session.recipe();
        let render = |template: &_| current.render(recipe, template);
        let opens = session
            .standins()
            .map(|standins| |text: &str| standins.opens(text));
        let new = inject::put_body(
            &parts.headers,
            whole.plain(),
            &current.ready,
            attempt,
            opens.as_ref().map(|opens| opens as &dyn Fn(&str) -> bool),
            &render,
        );
        let failed = |e: inject::Error| Error::from(Kind::Incompletely(e.to_string())).because(e);
        let new = new.map_err(failed)?;
        let applied = match applied {
            Applied::Nothing if new.is_some() => Applied::Sent,
            applied => applied,
        };
        Ok((whole.send(&mut parts.headers, new), applied))
    }
}
