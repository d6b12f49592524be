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
        if applied == Applied::Presigned {
            return Ok((whole.send(&mut parts.headers, None), applied));
        }
        let recipe = session.recipe();
        let opens = session
            .standins()
            .map(|standins| |text: &str| standins.opens(text));
        let Some(current) = current else {
            let new = opens
                .as_ref()
                .and_then(|opens| inject::empty_body(&parts.headers, whole.plain(), recipe, opens));
            return Ok((whole.send(&mut parts.headers, new), applied));
        };
        let render = |template: &_| current.render(recipe, template);
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
