//! `http`: the requests that a browser would send to sign in, one after another, with what each found for the next.
//!
//! The steps have a jar of their own that begins as the session's: nothing of a login that fails half way is kept.

use std::collections::BTreeMap;

use super::{Live, Renewed, Spend, answer, http::Answered, oauth2::misconfigured};
use crate::{
    auth,
    jar::Jar,
    life::Failure,
    rule::{
        Step, StepBody, capture,
        template::{Scope, Template},
    },
    secret::Secret,
    session::held,
};

// === impl Live ===

impl Live {
    pub(super) async fn steps(&self, steps: &[Step], spend: &Spend) -> Result<Renewed, Failure> {
        let mut jar = Jar::clone(&spend.jar);
        let mut captured: BTreeMap<String, Secret> = BTreeMap::new();
        let mut last = None;
        for (at, step) in steps.iter().enumerate() {
            let place = |text: String| format!("step {}: {text}", at + 1);
            let answered = self.step(step, spend, &mut jar, &captured).await?;
            let taken = capture::Answer {
                headers: &answered.headers,
                body: &answered.body,
            };
            let taken = capture::take(&step.capture, taken)
                .map_err(|error| Failure::NotAnAnswer(place(error.to_string())))?;
            if let Err(unexpected) =
                step.expect
                    .met(&step.url.path, answered.status, &answered.headers)
            {
                // A login that was refused is not tried again and again: that is how accounts are locked.
                return Err(Failure::Terminal(place(unexpected.to_string())));
            }
            if let Some(missing) = taken.missing.first() {
                return Err(Failure::NotAnAnswer(place(format!(
                    "{missing} is not in the answer"
                ))));
            }
            captured.extend(taken.fields);
            last = Some(answered);
        }
        let Some(last) = last else {
            return Err(Failure::Misconfigured("there are no steps".to_owned()));
        };
        let mut renewed = Renewed::of_jars(&spend.jar, &jar, &last);
        let lasting = captured
            .into_iter()
            .filter(|(name, _)| self.lasts(steps, name));
        renewed.take(lasting.collect(), &last);
        Ok(renewed)
    }

    async fn step(
        &self,
        step: &Step,
        spend: &Spend,
        jar: &mut Jar,
        captured: &BTreeMap<String, Secret>,
    ) -> Result<Answered, Failure> {
        let env = &self.http.env;
        let now = env.wall();
        let make = |scope: &Scope<'_>| auth::step::request(step, scope);
        let held = (&*spend.grant, &*jar);
        let random = env.bytes();
        let request = held::scope_of_step(&self.recipe, held, captured, now, random, make);
        let request = request.map_err(misconfigured)?;
        let origin = step.url.origin.clone();
        let path = step.url.path.split('?').next().unwrap_or_default();
        let cookie = jar.cookie_string(&origin, path, now);
        let request = self.dressed(request, &spend.grant);
        let answered = self.http.ask(request, cookie, &spend.permit).await?;
        answer::learn(jar, &origin, &step.url, &answered);
        answered.trouble().map_or(Ok(answered), Err)
    }

    /// Tells whether a captured field is more than a hand-over between two steps (a CSRF field, say).
    fn lasts(&self, steps: &[Step], name: &str) -> bool {
        let uses = |template: &Template| template.fields().any(|field| field == name);
        let recipe = &self.recipe;
        let captured_at = steps
            .iter()
            .position(|step| step.capture.iter().any(|(field, _)| field == name));
        let used_after = steps
            .iter()
            .skip(captured_at.map_or(0, |at| at + 1))
            .any(|step| step_uses(step, uses));
        let used_elsewhere = recipe.inject.iter().any(|inject| uses(&inject.value))
            || recipe.derive.iter().any(|(_, template)| uses(template))
            || recipe.cookies.expires.as_ref().is_some_and(uses)
            || steps
                .iter()
                .take(captured_at.map_or(0, |at| at + 1))
                .any(|step| step_uses(step, uses));
        used_elsewhere || !used_after
    }
}

fn step_uses(step: &Step, uses: impl Fn(&Template) -> bool) -> bool {
    let in_body = match &step.body {
        StepBody::Empty => false,
        StepBody::Form(fields) => fields.iter().any(|(_, template)| uses(template)),
        StepBody::Json(_, templates) => templates.iter().any(|(_, template)| uses(template)),
    };
    in_body || step.headers.iter().any(|(_, template)| uses(template))
}
