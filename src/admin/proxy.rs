//! The proxy itself: what it is, and reading its configuration again.

use axum::{Json, extract::State as Given, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{State, problem::Problem};

/// What a running proxy says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    pub version: String,
    pub pid: u32,
    /// The configuration file, absolute.
    pub config: String,
    /// Where clients connect to: `127.0.0.1:8080`, `unix:PATH`.
    pub listen: Vec<String>,
    /// The CA's certificate file.
    pub ca: String,
}

/// What a reload left to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// Changed keys that are taken up only by a restart.
    pub needs_restart: Vec<String>,
}

/// Returns what this proxy is.
#[utoipa::path(get, path = "/api/v1/proxy", tag = "proxy", responses((status = 200, body = About)))]
pub(super) async fn get(Given(state): Given<State>) -> Json<About> {
    let facts = &state.facts;
    Json(About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        config: facts.config.display().to_string(),
        listen: facts.listen.iter().map(ToString::to_string).collect(),
        ca: facts.ca.display().to_string(),
    })
}

/// Reads the configuration again; a bad one is refused whole, and the old one stays in force.
#[utoipa::path(post, path = "/api/v1/reload", tag = "proxy",
    responses((status = 200, body = Reloaded),
              (status = 422, description = "The new configuration is refused", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn reload(Given(state): Given<State>) -> Result<Json<Reloaded>, Problem> {
    match (state.reload)().await {
        Ok(keys) => Ok(Json(Reloaded {
            needs_restart: keys.into_iter().map(str::to_owned).collect(),
        })),
        Err(why) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why)
            .at(state.facts.config.display().to_string())
            .hint("the old configuration stays in force; `staysigned check` says the same")),
    }
}
