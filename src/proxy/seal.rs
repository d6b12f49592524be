//! The signature of a request: the last thing that is done to it, over its bytes as they are about to be sent.

use http::request::Parts;
use http_body::Body as _;

use super::{
    error::{Error, Kind},
    exchange::Exchange,
};
use crate::{
    rule::{
        Recipe,
        inject::{self, Applied},
        matcher::Bound,
    },
    session::Current,
    upstream::{Body, RequestBody},
};

impl Exchange<'_> {
    /// Signs a request, if its session does; returns what of the session is on it then.
    pub(super) fn seal(
        &self,
        parts: &mut Parts,
        recipe: &Recipe,
        bound: &Bound,
        current: Option<&Current>,
        (body, applied): (Option<&Body>, Applied),
    ) -> Result<Applied, Error> {
        let (Some(sign), Some(current)) = (&recipe.sign, current) else {
            return Ok(applied);
        };
        if applied == Applied::Presigned {
            return Ok(applied);
        }
        let bytes: &[u8] = match body {
            Some(Body::Full(bytes)) => bytes,
            Some(Body::Empty) => &[],
            // It was not read whole: a part is never signed for all of it.
            _ => return Err(Kind::BodyTooLarge.into()),
        };
        let render = |template: &_| current.render(recipe, template);
        let authority = self.origin.authority();
        inject::seal(
            parts,
            bound,
            sign,
            &authority,
            bytes,
            current.now(),
            &render,
        )
        .map_err(|error| Error::from(Kind::Unsigned(error.to_string())).because(error))?;
        Ok(match applied {
            Applied::Nothing => Applied::Sent,
            other => other,
        })
    }
}

/// Tells whether a session signs bodies, and there is one.
pub(super) fn wants_whole(recipe: &Recipe, body: &RequestBody) -> bool {
    recipe.sign.is_some() && !body.is_end_stream()
}
