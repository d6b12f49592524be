//! `touch`: a request with the session's own credential that makes the site rotate it; and `verify`, the same to see
//! whether a new one is good.

use http::{HeaderMap, Method, Request, Uri, request};

use super::{Live, Pulse, Renewed, Spend, answer, http::Answered};
use crate::{
    jar::Jar,
    life::Failure,
    rule::{
        Heartbeat, Url, capture,
        inject::{self, Applied, Attempt},
        matcher::Found,
        rejected::{self, Asked, Looked, Seen, Verdict},
        template::{Scope, Template},
    },
    session::held,
    upstream::{Body, Reach, Route},
};

// === impl Live ===

impl Live {
    pub(super) async fn touch(&self, url: &Url, spend: &Spend) -> Result<Renewed, Failure> {
        let (answered, applied) = self.get(url, spend).await?;
        self.judge(url, &answered, applied)?;
        let mut jar = Jar::clone(&spend.jar);
        if self.recipe.cookies.enabled {
            answer::learn(&mut jar, &url.origin, url, &answered);
        }
        let mut renewed = Renewed::of_jars(&spend.jar, &jar, &answered);
        for captured in self.found(url).captures {
            let from = capture::Answer {
                headers: &answered.headers,
                body: &answered.body,
            };
            let taken = capture::take(&captured.capture.answer, from)
                .map_err(|error| Failure::NotAnAnswer(error.to_string()))?;
            renewed.take(taken.fields, &answered);
        }
        Ok(renewed)
    }

    /// Asks with a new credential whether it is good; else says why it is not.
    pub(super) async fn is_accepted(&self, new: &Spend) -> Result<(), String> {
        let Some(verify) = &self.recipe.refresh.verify else {
            return Ok(());
        };
        let asked = self.get(&verify.url, new).await;
        let (answered, _) = asked.map_err(|failure| failure.to_string())?;
        let met = verify
            .ok
            .met(&verify.url.path, answered.status, &answered.headers);
        met.map_err(|unexpected| format!("the new credential is not accepted: {unexpected}"))
    }

    /// Asks the URL of a heartbeat, and what the answer says of the credential.
    pub(super) async fn feel(
        &self,
        heartbeat: &Heartbeat,
        with: &Spend,
    ) -> Result<(Answered, Pulse), Failure> {
        let url = &heartbeat.url;
        let (answered, applied) = self.get(url, with).await?;
        let met = heartbeat
            .ok
            .met(&url.path, answered.status, &answered.headers);
        let pulse = match self.judge(url, &answered, applied) {
            Err(Failure::Terminal(_)) => Pulse::Bad,
            _ if answered.trouble().is_some() => Pulse::Unknown,
            _ if met.is_ok() => Pulse::Good,
            _ => Pulse::Bad,
        };
        Ok((answered, pulse))
    }

    fn found(&self, url: &Url) -> Found<'_> {
        let Some(matcher) = &self.matcher else {
            return Found::default();
        };
        matcher.find(
            None,
            &url.origin,
            &Method::GET,
            &url.path,
            &HeaderMap::new(),
        )
    }

    async fn get(&self, url: &Url, spend: &Spend) -> Result<(Answered, Applied), Failure> {
        let misconfigured = |why: &str| Failure::Misconfigured(why.to_owned());
        let bound = self.found(url).bound.ok_or_else(|| {
            misconfigured("its URL is not bound: the session's credential may not go there")
        })?;
        let uri: Uri = url
            .path
            .parse()
            .map_err(|_| misconfigured("its URL cannot be sent"))?;
        let mut parts = Request::new(()).into_parts().0;
        parts.uri = uri;
        let applied = self
            .sign(&mut parts, &bound, url, spend)
            .map_err(|error| Failure::Misconfigured(error.to_string()))?;
        let route = Route {
            client: Some(self.http.client.clone()),
            origin: url.origin.clone(),
            reach: Reach::Anywhere,
        };
        let request = Request::from_parts(parts, Body::Empty);
        Ok((self.http.send(&route, request).await?, applied))
    }

    fn sign(
        &self,
        parts: &mut request::Parts,
        bound: &crate::rule::matcher::Bound,
        url: &Url,
        spend: &Spend,
    ) -> Result<Applied, inject::Error> {
        let Spend { grant, jar, .. } = spend;
        let env = &self.http.env;
        let path = url.path.split('?').next().unwrap_or_default();
        let cookie = jar.cookie_string(&url.origin, path, env.wall());
        let put = |scope: &Scope<'_>| {
            let ready = inject::prepare(&self.recipe, scope)?;
            let params = inject::Params {
                recipe: &self.recipe,
                ready: &ready,
                jar: cookie.as_ref().filter(|_| self.recipe.cookies.enabled),
                attempt: Attempt::Again,
                standin: None,
                user_agent: self
                    .recipe
                    .user_agent
                    .as_ref()
                    .and_then(|user_agent| user_agent.of(grant)),
                render: &|template| template.render(scope),
            };
            let applied = inject::apply(parts, bound, params)?;
            if let Some(sign) = &self.recipe.sign {
                let render = |template: &_| Template::render(template, scope);
                let authority = url.origin.authority();
                inject::seal(parts, bound, sign, &authority, b"", env.wall(), &render).map_err(
                    |error| {
                        tracing::warn!(error = &error as &dyn std::error::Error, "not signed");
                        inject::Error::Unsigned
                    },
                )?;
            }
            Ok(applied)
        };
        held::scope(&self.recipe, grant, jar, env.wall(), env.bytes(), put)
    }

    /// Sorts the answer by the session's own rules: a rejection says that there is nothing left to keep alive.
    fn judge(&self, url: &Url, answered: &Answered, applied: Applied) -> Result<(), Failure> {
        let asked = Asked {
            method: &Method::GET,
            path: &url.path,
            applied,
        };
        let rules = &self.recipe.rejected;
        let Answered {
            status,
            headers,
            body,
            ..
        } = answered;
        let rejected = match rejected::head(rules, asked, *status, headers) {
            Verdict::Rejected(_) | Verdict::Challenged => true,
            Verdict::Accepted | Verdict::Unconcerned => false,
            Verdict::NeedsBody(open) => {
                matches!(
                    rejected::body(rules, &open, body, Seen::Whole),
                    Looked::Rejected(_)
                )
            }
        };
        let code = status.as_u16();
        if rejected {
            return Err(Failure::Terminal(format!(
                "the site answers {code}: signed out"
            )));
        }
        if let Some(trouble) = answered.trouble() {
            return Err(trouble);
        }
        if status.is_client_error() {
            return Err(Failure::NotAnAnswer(format!("status {code}")));
        }
        Ok(())
    }
}
