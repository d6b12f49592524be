//! A request that no session is bound to: others may still learn from its answer.

use http::{Response, request::Parts};

use super::{
    World,
    body::ResponseBody,
    error::Error,
    exchange::Exchange,
    judge::{self, Judged},
    requests::Scope,
    sending::Spare,
    teach::Taught,
    whole::Arrived,
};
use crate::{grant::Generation, rule::matcher::Found};

impl Exchange<'_> {
    /// Sends a request that no session is bound to.
    pub(super) async fn unsigned(
        &mut self,
        world: &World,
        scope: &Scope,
        found: &Found<'_>,
        parts: &mut Parts,
        arrived: Arrived,
    ) -> Result<Response<ResponseBody>, Error> {
        let (body, spare) = match arrived {
            Arrived::Coming(body) => self.body(body, false),
            Arrived::Whole(whole) => {
                let body = whole.send(&mut parts.headers, None);
                (body, Spare::Whole(*whole))
            }
        };
        let response = self.once(parts, &mut Some(body), &spare).await?;
        let judged = judge::captured(self, response, &found.captures).await?;
        let Judged {
            response, fields, ..
        } = judged;
        let taught = Taught {
            headers: response.headers(),
            rejected: false,
            fields: &fields,
        };
        self.teach(
            world,
            scope,
            &found.captures,
            None,
            Generation::default(),
            taught,
        )
        .await?;
        let response = self.masked(world, scope, &found.captures, response).await?;
        Ok(self.finish(response, None, None))
    }
}
