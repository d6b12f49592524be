//! `oauth2`: one request to the token endpoint (RFC 6749 §4.3, §4.4, §6; RFC 7523).

use super::{Live, Renewed, Spend, answer::PUT_OFF};
use crate::{
    auth::{self, token},
    life::Failure,
    rule::{Oauth2, template::Scope},
    session::{held, relay::kept},
};

// === impl Live ===

impl Live {
    pub(super) async fn oauth2(&self, oauth2: &Oauth2, spend: &Spend) -> Result<Renewed, Failure> {
        let Spend { grant, jar, .. } = spend;
        let env = &self.http.env;
        let make = |scope: &Scope<'_>| auth::oauth2::request(oauth2, scope);
        let request = held::scope(&self.recipe, grant, jar, env.wall(), env.bytes(), make);
        let request = request.map_err(misconfigured)?;
        let answered = self
            .http
            .ask(self.dressed(request, grant), None, &spend.permit)
            .await?;
        let received = token::Received {
            status: answered.status,
            headers: &answered.headers,
            body: &answered.body,
            now: answered.at,
        };
        match token::read(oauth2, &self.recipe.refresh.terminal, received) {
            token::Answer::Granted(granted) => {
                let mut fields = granted.fields;
                if self.recipe.captures.iter().any(|capture| capture.coalesce) {
                    // For clients that ask with the token which was spent here.
                    let answer = kept::keep(
                        &answered,
                        grant.field(held::REFRESH_TOKEN),
                        &self.recipe.captures,
                    );
                    fields.extend(answer.map(|answer| (kept::ANSWER.to_owned(), answer)));
                }
                Ok(Renewed {
                    fields,
                    expires_at: granted.expires_in.map(|lifetime| answered.at + lifetime),
                    skew: answered.skew(),
                    ..Renewed::default()
                })
            }
            token::Answer::Terminal(code) => Err(Failure::Terminal(code)),
            token::Answer::Config(code) => Err(Failure::Misconfigured(code)),
            token::Answer::Throttled(wait) => Err(Failure::Throttled {
                until: answered.at + wait.unwrap_or(PUT_OFF),
                why: format!("status {}", answered.status.as_u16()),
            }),
            token::Answer::NotAnAnswer(why) => Err(Failure::NotAnAnswer(why.to_string())),
            token::Answer::ServerError(code) => Err(Failure::InDoubt {
                why: format!("status {code}"),
                answered: true,
            }),
        }
    }
}

/// The request cannot be made; the error names fields and never values.
pub(super) fn misconfigured(error: auth::Error) -> Failure {
    let mut why = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        why = format!("{why}: {source}");
    }
    Failure::Misconfigured(why)
}
