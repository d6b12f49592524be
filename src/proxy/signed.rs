//! A request with a session's credential: put on, judged by its answer, and sent once more if that was a rejection.

use std::sync::Arc;

use http::{Response, request::Parts};

use super::{
    World,
    body::ResponseBody,
    error::{Error, Kind},
    exchange::Exchange,
    inspect,
    judge::{self, Says},
    requests::Scope,
    seal,
    sending::Spare,
    teach::Taught,
    whole::Arrived,
};
use crate::{
    rule::{
        OnDead, Recipe,
        inject::{self, Applied, Attempt},
        matcher::{Bound, Captured},
        rejected,
    },
    session::{Current, Session, Unusable, Verdict},
    upstream::Body,
};

/// What is said of an answer that no rule with `again = "fail"` has seen enough of.
const UNSEEN: &str = "passed on before the session's rules could tell: the body is too slow or too large to be looked at";

impl Exchange<'_> {
    /// Sends a request with a session's credential; once more if the upstream says that it is no longer good.
    #[allow(clippy::too_many_arguments)] // the request's parts, and whom it concerns
    pub(super) async fn signed(
        &mut self,
        world: &World,
        scope: &Scope,
        session: &Arc<Session>,
        bound: &Bound,
        captures: &[Captured<'_>],
        parts: &Parts,
        arrived: Arrived,
    ) -> Result<Response<ResponseBody>, Error> {
        let recipe = session.recipe();
        let turn = session.turn().await?;
        // What is left as it came waits for no credential, and fails for the want of none.
        let left_alone = inject::is_left_alone(recipe, &parts.uri);
        let held = async || match left_alone {
            true => Ok(Ok(None)),
            false => self.held(session).await.map(|held| held.map(Some)),
        };
        let mut holds = held().await?;
        if recipe.pace.is_some() {
            // Behind the wait for a refresh, so that who waited for one does not go all at once.
            Box::pin(session.pace()).await?;
            holds = held().await?;
        }
        let dead = holds.as_ref().err().map(Unusable::why);
        let mut current = holds.ok().flatten();
        let (body, mut spare) = match arrived {
            Arrived::Whole(whole) => (Body::Empty, Spare::Whole(*whole)),
            Arrived::Coming(body)
                if inject::has_body_place(recipe, &parts.headers)
                    || seal::wants_whole(recipe, &body) =>
            {
                let whole = Box::pin(self.whole(&parts.headers, body)).await?;
                (Body::Empty, Spare::Whole(whole))
            }
            Arrived::Coming(body) => self.body(body, true),
        };
        let mut body = Some(body);
        let (mut attempt, mut repeated, mut rejected, mut note) =
            (Attempt::First, false, None, None);
        let mut first = session.generation();
        let (response, note) = loop {
            let mut parts = parts.clone();
            let mut applied = self.sign(&mut parts, session, bound, current.as_deref(), attempt)?;
            if let Spare::Whole(whole) = &spare {
                let put = (attempt, applied);
                let signed = self.sign_body(&mut parts, whole, session, current.as_deref(), put)?;
                (body, applied) = (Some(signed.0), signed.1);
            }
            let asked = self.asked(applied);
            if rejected::may_look(&recipe.rejected, asked) {
                rejected::narrow(&mut parts.headers);
            }
            let held = current.as_deref();
            applied = self.seal(&mut parts, recipe, bound, held, (body.as_ref(), applied))?;
            if applied == Applied::Sent && rejected.is_none() && !repeated {
                session.injected();
            }
            let seen = current
                .as_ref()
                .map_or_else(|| session.generation(), |c| c.generation);
            // The request as it came is still here: one more turn makes it anew.
            let response = match self.dispatch(&mut parts, &mut body).await {
                Ok(response) => response,
                Err(failed) => {
                    let again = (!repeated).then(|| self.once_more(&failed, &mut spare));
                    let Some(again) = again.flatten() else {
                        return Err(failed.into());
                    };
                    (body, repeated) = (Some(again), true);
                    continue;
                }
            };
            let judged = judge::answered(self, session, applied, response, captures).await?;
            let taught = Taught {
                headers: judged.response.headers(),
                rejected: matches!(judged.says, Says::Rejected(_)),
                fields: &judged.fields,
            };
            self.teach(world, scope, captures, Some(session), seen, taught)
                .await?;
            if attempt == Attempt::First {
                first = seen;
            }
            let next = match (&judged.says, attempt) {
                (Says::Nothing | Says::Unseen, _) => {
                    if applied == Applied::Sent {
                        session.accepted(seen, self.about());
                    }
                    // Without the credential this is no rejection, but who sees it should know why it came.
                    let dead = dead.filter(|_| self.is_refused(recipe, &judged.response));
                    let unseen = matches!(judged.says, Says::Unseen).then_some(UNSEEN);
                    break (judged.response, note.or(unseen).or(dead));
                }
                (Says::Rejected(hit), Attempt::Again) => {
                    let stayed = if let Some(before) = &rejected {
                        session.rejected_again(first, seen, self.about()) && before == hit
                    } else {
                        // It was sent again because of a challenge, with what was held: the next one is served.
                        Box::pin(session.reject(seen, self.about())).await;
                        false
                    };
                    if judged.says.fails() {
                        return Err(Kind::StillRejected.into());
                    }
                    if stayed {
                        judge::confirm(self, session, hit);
                    }
                    break (judged.response, note);
                }
                (Says::Rejected(_), Attempt::First) => {
                    Box::pin(session.reject(seen, self.about())).await
                }
                (Says::Challenged, _) => match &current {
                    Some(current) => Verdict::Again(current.clone()),
                    None => Verdict::Pass("the upstream asks for a credential, and none is held"),
                },
            };
            let next = match next {
                Verdict::Again(next) => next,
                Verdict::Pass(why) => {
                    if judged.says.fails() {
                        return Err(Kind::Uncured(why).into());
                    }
                    break (judged.response, Some(why));
                }
            };
            let complete = spare.is_complete();
            let Some(again) = spare.again() else {
                let why = "the session was refreshed, but the request's body could not be kept";
                if judged.says.fails() {
                    return Err(Kind::Uncured(why).into());
                }
                break (judged.response, Some(why));
            };
            if complete {
                Box::pin(inspect::discard(judged.response.into_body())).await;
            } else {
                // Upstreams reject before they have read: what the client has not sent yet goes behind what is kept,
                // and the connection is of no more use.
                drop(judged.response);
            }
            rejected = judged.says.hit();
            note = Some(if rejected.is_some() {
                "the first answer was a rejection; sent again with a renewed credential"
            } else {
                "the first answer was a challenge; sent again with the credential"
            });
            let next = if recipe.pace.is_some() {
                Box::pin(session.pace()).await?;
                session.ready().unwrap_or(next)
            } else {
                next
            };
            session.replayed(self.about());
            (body, current) = (Some(again), Some(next));
            (attempt, repeated) = (Attempt::Again, false);
        };
        drop(turn);
        let response = self.masked(world, scope, captures, response).await?;
        Ok(self.finish(response, Some(recipe), note))
    }

    /// Returns what a request is sent with, if anything usable is held or comes in time; else why there is nothing.
    async fn held(&self, session: &Session) -> Result<Result<Arc<Current>, Unusable>, Error> {
        if let Some(current) = session.ready() {
            return Ok(Ok(current));
        }
        match Box::pin(session.current_for(self.about())).await {
            Err(dead) if session.recipe().on_dead == OnDead::Fail => Err(dead.into()),
            held => Ok(held),
        }
    }

    /// Tells whether an answer would say of a credential that it is no longer good.
    fn is_refused<B>(&self, recipe: &Recipe, response: &Response<B>) -> bool {
        let asked = self.asked(Applied::Sent);
        let (status, headers) = (response.status(), response.headers());
        let verdict = rejected::head(&recipe.rejected, asked, status, headers);
        matches!(verdict, rejected::Verdict::Rejected(_))
    }

    /// Puts the credential on, or takes off what stands in for it when there is none.
    pub(super) fn sign(
        &self,
        parts: &mut Parts,
        session: &Session,
        bound: &Bound,
        current: Option<&Current>,
        attempt: Attempt,
    ) -> Result<Applied, Error> {
        let failed = |e: inject::Error| Error::from(Kind::Incompletely(e.to_string())).because(e);
        let recipe = session.recipe();
        let opens = session
            .standins()
            .map(|standins| |text: &str| standins.opens(text));
        let standin = opens.as_ref().map(|opens| opens as &dyn Fn(&str) -> bool);
        if inject::is_left_alone(recipe, &parts.uri) {
            return Ok(Applied::Presigned);
        }
        let Some(current) = current else {
            inject::strip(parts, recipe, standin).map_err(failed)?;
            return Ok(Applied::Nothing);
        };
        let jar = current.cookie_string(recipe, self.origin, parts.uri.path());
        let params = inject::Params {
            recipe,
            ready: &current.ready,
            jar: jar.as_ref(),
            attempt,
            standin,
            user_agent: recipe
                .user_agent
                .as_ref()
                .and_then(|user_agent| user_agent.of(&current.grant)),
            render: &|template| current.render(recipe, template),
        };
        inject::apply(parts, bound, params).map_err(failed)
    }
}
