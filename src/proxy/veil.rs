//! Answers whose credentials the client does not see (`capture.mask`): read whole, and passed on with stand-ins.
//!
//! What cannot be read, or not to its end within `limits.token_answer`, is not passed on at all.

use http::{Response, StatusCode, header::CONTENT_LENGTH};

use super::{
    World,
    body::ResponseBody,
    error::{Error, Kind},
    exchange::Exchange,
    inspect, judge,
    requests::Scope,
    whole::is_of_the_bytes,
};
use crate::{
    message::{decode, hop},
    rule::{mask, matcher::Captured},
};

impl Exchange<'_> {
    /// Exchanges what captures with `mask` have taken from an answer for stand-ins; all others are passed through.
    pub(super) async fn masked(
        &self,
        world: &World,
        scope: &Scope,
        captures: &[Captured<'_>],
        response: Response<ResponseBody>,
    ) -> Result<Response<ResponseBody>, Error> {
        if captures.iter().any(|captured| captured.capture.mask) {
            return Box::pin(self.veiled(world, scope, captures, response)).await;
        }
        Ok(response)
    }

    async fn veiled(
        &self,
        world: &World,
        scope: &Scope,
        captures: &[Captured<'_>],
        response: Response<ResponseBody>,
    ) -> Result<Response<ResponseBody>, Error> {
        let limits = &self.proxy.limits;
        let unmasked = |why: &'static str| Error::from(Kind::Unmasked).because(why);
        let (mut head, body) = response.into_parts();
        if head.status == StatusCode::PARTIAL_CONTENT {
            return Err(unmasked("it is a part"));
        }
        let (raw, body) = inspect::whole(body, limits.token_answer)
            .await?
            .ok_or_else(|| unmasked("it is larger than limits.token_answer"))?;
        let encoding = judge::encoding(&head.headers);
        let bounds = decode::Bounds::up_to(limits.token_answer);
        let mut plain = if raw.is_empty() {
            Vec::new()
        } else {
            decode::decode(encoding, &raw, bounds)
                .map_err(|error| Error::from(Kind::Unmasked).because(error))?
        };
        let room = self.room(raw.len(), plain.len())?;
        let mut changed = false;
        for captured in captures.iter().filter(|captured| captured.capture.mask) {
            let granted = head.status.is_success() && !plain.is_empty();
            if granted && !mask::is_readable(captured.capture, &plain) {
                return Err(unmasked("it is no JSON"));
            }
            let session = world
                .sessions
                .session(captured.recipe, scope.client.as_ref());
            // Without stand-ins it captures nothing that is a secret.
            let Some(standins) = session.standins() else {
                continue;
            };
            let new = mask::answer(
                captured.capture,
                standins.maker(),
                &mut head.headers,
                &plain,
            );
            if let Some(new) = new.map_err(|error| Error::from(Kind::Unmasked).because(error))? {
                (plain, changed) = (new, true);
            }
        }
        if !changed {
            return Ok(Response::from_parts(head, body));
        }
        hop::retain(&mut head.headers, |name, _| !is_of_the_bytes(name));
        head.headers.insert(CONTENT_LENGTH, plain.len().into());
        let plain = match room {
            Some(room) => room.on(plain),
            None => plain.into(),
        };
        Ok(Response::from_parts(head, ResponseBody::Whole(plain)))
    }
}
