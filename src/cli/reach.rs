//! How a command reaches the sessions: through the proxy that runs with this configuration, else by the store itself.

use std::sync::Arc;

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{
    client::Client,
    context::{Context, Found},
    error::Error,
};
use crate::{
    admin::{self, Ended, Material},
    config::Config,
    server::{Offline, Secrets},
    session::{self, Session},
};

/// The way to the sessions.
pub(super) enum Reach {
    Running(Box<Client>),
    Store(Box<Offline>),
}

/// The session that is meant.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Which {
    /// The session's name, as in [session.NAME]
    #[arg(value_name = "SESSION")]
    pub(super) session: String,
    /// Whose, if every client has a grant of its own (`per_client`)
    #[arg(long, value_name = "CLIENT")]
    pub(super) client: Option<String>,
}

/// Says that a command by itself would forget at once what it did, and what to do first.
pub(super) fn in_memory_alone(done: &str, which: &Which) -> Error {
    let message = format!(
        "nothing was {done}: {} is kept in the memory of a proxy alone, and none runs",
        which.session
    );
    Error::failed(message).hint("start it first: staysigned".to_owned())
}

// === impl Reach ===

impl Reach {
    /// Finds the running proxy, or opens the store.
    pub(super) async fn new(
        context: &Context,
        found: Found,
        secrets: Secrets,
    ) -> Result<Self, Error> {
        if let Some(client) = Client::find(found.config()).await {
            return Ok(Self::Running(Box::new(client)));
        }
        Self::store(context, found, secrets).await
    }

    /// Opens the store, whether a proxy runs or not.
    pub(super) async fn store(
        context: &Context,
        found: Found,
        secrets: Secrets,
    ) -> Result<Self, Error> {
        let Found { place: _, loaded } = found;
        let offline = Offline::open(loaded, &context.variables, secrets).await?;
        Ok(Self::Store(Box::new(offline)))
    }

    /// Tells whether it is a proxy that runs.
    pub(super) fn runs(&self) -> bool {
        matches!(self, Self::Running(_))
    }

    /// Returns the status of all sessions, or of those with a name.
    pub(super) async fn status(&mut self, name: Option<&str>) -> Result<Vec<Value>, Error> {
        let mut all = match self {
            Self::Running(client) => {
                let mut answer = client.ask(Method::GET, "/api/v1/sessions", None).await?;
                match answer["sessions"].take() {
                    Value::Array(sessions) => sessions,
                    _ => Vec::new(),
                }
            }
            Self::Store(offline) => {
                let sessions = offline.sessions().all();
                sessions
                    .iter()
                    .map(|session| plain(&session.status()))
                    .collect()
            }
        };
        let Some(name) = name else {
            return Ok(all);
        };
        all.retain(|session| session["name"] == name);
        if let Self::Running(client) = self {
            // With what happened to it, which only the proxy knows.
            for session in &mut all {
                let which = Which {
                    session: name.to_owned(),
                    client: session["client"].as_str().map(str::to_owned),
                };
                *session = client.ask(Method::GET, &which.path(""), None).await?;
            }
        }
        Ok(all)
    }

    /// Refreshes now; an error if that fails.
    pub(super) async fn refresh(&mut self, which: &Which) -> Result<Value, Error> {
        match self {
            Self::Running(client) => {
                client
                    .ask(Method::POST, &which.path("/refresh"), None)
                    .await
            }
            Self::Store(offline) => {
                let session = find(offline, which)?;
                if !session.outlives_its_process() {
                    return Err(in_memory_alone("refreshed", which));
                }
                let (ended, status) = admin::refresh_now(&session).await?;
                match ended {
                    Ended::Renewed => Ok(plain(&status)),
                    Ended::Failed => {
                        let (why, help) = admin::reason(&status);
                        Err(Error::failed(format!("the refresh failed: {why}")).hint(help))
                    }
                    Ended::Nothing => {
                        Err(Error::failed("there is nothing to refresh with").hint(session.hint()))
                    }
                }
            }
        }
    }

    pub(super) async fn restore(&mut self, which: &Which) -> Result<Value, Error> {
        match self {
            Self::Running(client) => {
                client
                    .ask(Method::POST, &which.path("/restore"), None)
                    .await
            }
            Self::Store(offline) => {
                let restored = find(offline, which)?.restore().await?;
                let none = || Error::failed("there is no grant before this one");
                Ok(json!(restored.ok_or_else(none)?))
            }
        }
    }

    pub(super) async fn put(&mut self, which: &Which, material: Material) -> Result<Value, Error> {
        match self {
            Self::Running(client) => {
                let body = material.to_json();
                client
                    .ask(Method::PUT, &which.path("/grant"), Some(&body))
                    .await
            }
            Self::Store(offline) => {
                let Material {
                    fields,
                    expires_at,
                    cookies,
                } = material;
                let material = session::Material {
                    fields,
                    expires_at,
                    cookies,
                };
                let status = find(offline, which)?.put_material(material).await?;
                Ok(plain(&status))
            }
        }
    }

    pub(super) async fn forget(&mut self, which: &Which) -> Result<Value, Error> {
        match self {
            Self::Running(client) => {
                client
                    .ask(Method::DELETE, &which.path("/grant"), None)
                    .await
            }
            Self::Store(offline) => {
                let session = find(offline, which)?;
                session.forget().await?;
                Ok(plain(&session.status()))
            }
        }
    }

    /// Returns a session of the store itself.
    pub(super) fn stored(&self, which: &Which) -> Result<Arc<Session>, Error> {
        match self {
            Self::Store(offline) => find(offline, which),
            Self::Running(_) => Err(Error::failed("the proxy gives no secret to anybody")),
        }
    }

    /// Ends in good order: what was begun is stored.
    pub(super) async fn close(self) -> Result<(), Error> {
        match self {
            Self::Running(_) => Ok(()),
            Self::Store(offline) => Ok(offline.close().await?),
        }
    }
}

// === impl Which ===

impl Which {
    /// Refuses what the configuration does not have.
    pub(super) fn check(&self, config: &Config) -> Result<(), Error> {
        let Self { session, client } = self;
        let Some(recipe) = config
            .recipes
            .iter()
            .find(|recipe| *recipe.name == **session)
        else {
            return Err(Error::asked(format!("there is no session {session}")).hint(names(config)));
        };
        match client {
            None if recipe.per_client => Err(Error::asked(format!(
                "every client has a session {session} of its own"
            ))
            .hint("name the client: --client CLIENT".to_owned())),
            Some(_) if !recipe.per_client => Err(Error::asked(format!(
                "all clients share the session {session}"
            ))
            .hint("leave --client out".to_owned())),
            Some(client) if !config.clients.iter().any(|known| *known.name == **client) => {
                Err(Error::asked(format!("there is no client {client}"))
                    .hint(super::tools::names(config)))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, end: &str) -> String {
        let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let session = part(&self.session);
        match &self.client {
            None => format!("/api/v1/sessions/{session}{end}"),
            Some(client) => format!("/api/v1/sessions/{session}/clients/{}{end}", part(client)),
        }
    }
}

/// Says which sessions there are.
pub(super) fn names(config: &Config) -> String {
    let names: Vec<&str> = config.recipes.iter().map(|recipe| &*recipe.name).collect();
    if names.is_empty() {
        "the configuration has no [session.NAME] yet".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    }
}

fn find(offline: &Offline, which: &Which) -> Result<Arc<Session>, Error> {
    let Which { session, client } = which;
    let found = offline.sessions().find(session, client.as_deref());
    found.ok_or_else(|| Error::asked(format!("there is no session {session}")))
}

fn plain(status: &session::Status) -> Value {
    json!(status)
}
