//! A person's own sign-in: a code by a browser or by another device, exchanged for tokens at the endpoint that renews
//! the session, by the same way out. What comes is material as an import has it; nothing here is stored.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    Live, Permit, World,
    http::{Answered, Http},
};
use crate::{
    auth::{
        self,
        code::Authorization,
        device::{self, Device, Polled},
        token::{self, Answer, Granted, Received},
    },
    env::Env,
    grant::Grant,
    life::Failure,
    limits::Limits,
    rule::{ClientAuth, Login, Oauth2, Recipe, RefreshKind, template::Scope},
    secret::Secret,
    session::Material,
    upstream::Upstream,
};

/// What signs a person in to one session.
#[derive(Debug)]
pub struct SignIn {
    live: Live,
    oauth2: Oauth2,
    login: Login,
}

/// Why there are no tokens. The texts have none of what was sent or came.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error(transparent)]
    Request(#[from] auth::Error),
    /// No whole answer came.
    #[error("no answer from the token endpoint: {0}")]
    Unanswered(String),
    #[error(transparent)]
    Device(#[from] device::Refused),
    /// The code was used, is over, or was given to somebody else.
    #[error("the token endpoint does not take the code: {0}")]
    Code(String),
    #[error("the token endpoint refuses the client: {0}")]
    Client(String),
    #[error("the consent was denied: access_denied")]
    Denied,
    #[error("the code is over: expired_token")]
    Expired,
    #[error("not a token answer: {0}")]
    NotAnAnswer(String),
}

// === impl SignIn ===

impl SignIn {
    /// Makes it for a session that has a login with codes; `None` if it has none. The recipe's secrets are those that
    /// authenticate the client.
    pub fn new(recipe: Arc<Recipe>, upstream: Upstream, env: Env, limits: Limits) -> Option<Self> {
        let login = recipe.login.clone()?;
        let RefreshKind::Oauth2(oauth2) = &recipe.refresh.kind else {
            return None;
        };
        let world = World {
            upstream,
            env,
            limits,
        };
        Some(Self {
            oauth2: oauth2.clone(),
            login,
            live: Live {
                matcher: None,
                http: Http::of(&world, format!("login {}", recipe.name).into()),
                recipe,
            },
        })
    }

    /// Returns the address to open in a browser, if there is an endpoint for it, and what its answer must have.
    pub fn authorization(
        &self,
        redirect_uri: String,
    ) -> Option<Result<(Authorization, String), SignInError>> {
        let endpoint = self.login.authorization_endpoint.as_ref()?;
        let env = &self.live.http.env;
        let mut verifier = [0; 32];
        let (first, second) = verifier.split_at_mut(16);
        first.copy_from_slice(&env.bytes());
        second.copy_from_slice(&env.bytes());
        let authorization = Authorization::new(&self.login, redirect_uri, (env.bytes(), verifier));
        let url = self.made(|scope| authorization.url(&self.login, endpoint, scope));
        Some(url.map(|url| (authorization, url)))
    }

    /// Exchanges a code for tokens.
    pub async fn exchange(
        &self,
        authorization: &Authorization,
        code: &Secret,
    ) -> Result<Material, SignInError> {
        let request = self.made(|scope| authorization.exchange(&self.oauth2, code, scope))?;
        let answered = self.ask(request).await?;
        let terminal = &self.live.recipe.refresh.terminal;
        self.taken(
            token::read(&self.oauth2, terminal, received(&answered)),
            &answered,
        )
    }

    /// Asks for a device code, if there is an endpoint for it.
    pub async fn device(&self) -> Option<Result<Device, SignInError>> {
        let endpoint = self.login.device_authorization_endpoint.as_ref()?;
        let asked = async {
            let make =
                |scope: &Scope<'_>| device::request(&self.oauth2, &self.login, endpoint, scope);
            let answered = self.ask(self.made(make)?).await?;
            Ok(device::read(received(&answered))?)
        };
        Some(asked.await)
    }

    /// Asks until the person is through, has said no, or the code is over.
    pub async fn wait(&self, device: &Device) -> Result<Material, SignInError> {
        let mut interval = device.interval;
        let waiting = async {
            loop {
                tokio::time::sleep(interval).await;
                let request = self.made(|scope| device::poll(&self.oauth2, device, scope))?;
                let answered = match self.ask(request).await {
                    Ok(answered) => answered,
                    Err(SignInError::Unanswered(why)) => {
                        // RFC 8628 §3.5: less often to a server that is away.
                        interval = (interval * 2).min(AWAY.max(device.interval));
                        tracing::debug!(why, "no answer to a device code");
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let terminal = &self.live.recipe.refresh.terminal;
                let polled = device::polled(&self.oauth2, terminal, received(&answered));
                if polled.is_transient() {
                    match polled {
                        Polled::SlowDown(by) => interval += by,
                        Polled::Answer(Answer::Throttled(Some(wait))) => {
                            interval = interval.max(wait);
                        }
                        _ => {}
                    }
                    continue;
                }
                return match polled {
                    Polled::Answer(answer) => self.taken(answer, &answered),
                    Polled::Denied => Err(SignInError::Denied),
                    Polled::Expired | Polled::Pending | Polled::SlowDown(_) => {
                        Err(SignInError::Expired)
                    }
                };
            }
        };
        let waited = timeout(device.expires_in, waiting).await;
        waited.unwrap_or(Err(SignInError::Expired))
    }

    fn made<T>(
        &self,
        make: impl FnOnce(&Scope<'_>) -> Result<T, auth::Error>,
    ) -> Result<T, SignInError> {
        let env = &self.live.http.env;
        // What the session holds has no part in it: this is where that ends.
        let grant = Grant::default();
        let scope = Scope::of(&self.live.recipe, &grant, env.wall(), env.bytes());
        Ok(make(&scope)?)
    }

    async fn ask(&self, request: auth::Request) -> Result<Answered, SignInError> {
        let limit = self.live.recipe.refresh.timeout;
        let request = self.live.dressed(request, &Grant::default());
        let permit = Permit::default();
        let asked = timeout(limit, self.live.http.ask(request, None, &permit)).await;
        asked
            .unwrap_or_else(|_| Err(Failure::Unsent(format!("none within {limit:?}"))))
            .map_err(|failure| match failure {
                Failure::NotAnAnswer(why) => SignInError::NotAnAnswer(why),
                Failure::Unsent(why) | Failure::InDoubt { why, .. } => SignInError::Unanswered(why),
                other => SignInError::Unanswered(other.to_string()),
            })
    }

    fn taken(&self, answer: Answer, answered: &Answered) -> Result<Material, SignInError> {
        match answer {
            Answer::Granted(Granted { fields, expires_in }) => Ok(Material {
                fields: fields.into_iter().collect(),
                expires_at: expires_in.map(|lifetime| answered.at + lifetime),
                cookies: Vec::new(),
            }),
            Answer::Terminal(code) => Err(SignInError::Code(code)),
            Answer::Config(code) => Err(SignInError::Client(code)),
            Answer::NotAnAnswer(why) => Err(SignInError::NotAnAnswer(why.to_string())),
            Answer::Throttled(_) | Answer::ServerError(_) => {
                let status = answered.status.as_u16();
                Err(SignInError::Unanswered(format!("status {status}")))
            }
        }
    }
}

/// How far apart the questions to a server that is away become.
const AWAY: Duration = Duration::from_secs(60);

fn received(answered: &Answered) -> Received<'_> {
    Received {
        status: answered.status,
        headers: &answered.headers,
        body: &answered.body,
        now: answered.at,
    }
}

// === impl SignInError ===

impl SignInError {
    /// Says what can be done about it, for the session of this name.
    pub fn hint(&self, session: &str, client_auth: ClientAuth) -> String {
        let section = format!("[session.{session}]");
        match self {
            Self::Client(_) | Self::Device(device::Refused::Server(_)) => match client_auth {
                ClientAuth::None => format!("correct values.client_id or login in {section}"),
                ClientAuth::Basic | ClientAuth::Post => {
                    format!("correct values.client_id, secrets.client_secret or login in {section}")
                }
            },
            Self::Request(_) => format!("correct login or refresh in {section}"),
            Self::Device(_) | Self::NotAnAnswer(_) => {
                format!("are the endpoints of {section} right?")
            }
            Self::Code(_) => "a code is good once, and for a few minutes: sign in again".to_owned(),
            Self::Unanswered(_) => "once it can be reached from here, sign in again".to_owned(),
            Self::Denied | Self::Expired => "sign in again".to_owned(),
        }
    }
}
