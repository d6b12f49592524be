//! Sessions: what state they are in, and what a person does to one.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body as Sent, to_bytes},
    extract::{Path, State as Given},
    http::StatusCode,
};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{
    State,
    material::{self, Body},
    problem::Problem,
};
use crate::{
    env::Env,
    session::{self, Event, Restored, Session, Status},
    store,
};

/// How long a body may take to arrive.
const BODY: Duration = Duration::from_secs(30);

/// All sessions: what `status --json` prints.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct List {
    pub sessions: Vec<Status>,
}

/// One session, and what happened to it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct One {
    #[serde(flatten)]
    pub status: Status,
    /// The last events, the oldest first.
    pub history: Vec<Event>,
}

/// What a refresh that was asked for came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Renewed,
    Failed,
    /// There is nothing to refresh with.
    Nothing,
}

/// Returns the sessions that are known: the shared ones, and those of clients that hold something.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", responses((status = 200, body = List)))]
pub(super) async fn list(Given(state): Given<State>) -> Json<List> {
    let all = state.proxy.world.load().sessions.all();
    Json(List {
        sessions: all.iter().map(|session| session.status()).collect(),
    })
}

/// Returns one session.
#[utoipa::path(get, path = "/api/v1/sessions/{name}", tag = "sessions",
    responses((status = 200, body = One), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn get(
    Given(state): Given<State>,
    Path(name): Path<String>,
) -> Result<Json<One>, Problem> {
    Ok(Json(one(&*find(&state, &name, None)?)))
}

pub(super) fn one(session: &Session) -> One {
    One {
        status: session.status(),
        history: session.history(),
    }
}

/// Forces a refresh now, and returns how it ended.
#[utoipa::path(post, path = "/api/v1/sessions/{name}/refresh", tag = "sessions",
    responses((status = 200, description = "The session was renewed", body = Status), (status = 404, body = Problem),
              (status = 409, description = "There is nothing to refresh with", body = Problem),
              (status = 502, description = "The refresh failed; the old grant stays", body = Problem)))]
pub(super) async fn refresh(
    Given(state): Given<State>,
    Path(name): Path<String>,
) -> Result<Json<Status>, Problem> {
    refreshed(&*find(&state, &name, None)?).await
}

/// Goes back to the grant before the last one.
#[utoipa::path(post, path = "/api/v1/sessions/{name}/restore", tag = "sessions",
    responses((status = 200, body = Restored), (status = 404, body = Problem),
              (status = 409, description = "There is no grant before this one", body = Problem)))]
pub(super) async fn restore(
    Given(state): Given<State>,
    Path(name): Path<String>,
) -> Result<Json<Restored>, Problem> {
    restored(&*find(&state, &name, None)?).await
}

/// Puts fields and cookies into a session; it heals one that needs a login.
#[utoipa::path(put, path = "/api/v1/sessions/{name}/grant", tag = "sessions",
    request_body = material::Sent,
    responses((status = 200, body = Status), (status = 400, body = Problem), (status = 404, body = Problem),
              (status = 413, body = Problem), (status = 422, description = "`place` says where", body = Problem)))]
pub(super) async fn put(
    Given(state): Given<State>,
    Path(name): Path<String>,
    body: Sent,
) -> Result<Json<Status>, Problem> {
    let session = find(&state, &name, None)?;
    taken(&state, &session, body).await
}

/// Forgets all that a session holds, also what `restore` would bring back.
#[utoipa::path(delete, path = "/api/v1/sessions/{name}/grant", tag = "sessions",
    responses((status = 200, body = Status), (status = 404, body = Problem)))]
pub(super) async fn forget(
    Given(state): Given<State>,
    Path(name): Path<String>,
) -> Result<Json<Status>, Problem> {
    forgotten(&*find(&state, &name, None)?).await
}

/// Finds a session; one that every client has of its own only with the name of the client.
pub(super) fn find(
    state: &State,
    name: &str,
    client: Option<&str>,
) -> Result<Arc<Session>, Problem> {
    let world = state.proxy.world.load();
    let refuse = |status, detail: String| {
        let place = match client {
            None => format!("/api/v1/sessions/{name}"),
            Some(client) => format!("/api/v1/sessions/{name}/clients/{client}"),
        };
        Problem::new(status, detail).at(place)
    };
    if let Some(client) = client
        && !world
            .clients
            .named
            .iter()
            .any(|known| &*known.name == client)
    {
        return Err(refuse(
            StatusCode::NOT_FOUND,
            format!("there is no client {client}"),
        ));
    }
    let recipes = world.sessions.matcher().recipes();
    let Some(index) = recipes.iter().position(|recipe| &*recipe.name == name) else {
        let detail = format!("there is no session {name}");
        return Err(
            refuse(StatusCode::NOT_FOUND, detail).hint("/api/v1/sessions has those there are")
        );
    };
    let own = recipes[index].per_client;
    match client {
        None if own => Err(refuse(
            StatusCode::CONFLICT,
            format!("every client has a session {name} of its own"),
        )
        .hint(format!(
            "name the client: /api/v1/sessions/{name}/clients/CLIENT"
        ))),
        Some(_) if !own => Err(refuse(
            StatusCode::CONFLICT,
            format!("all clients share the session {name}"),
        )
        .hint(format!("leave the client out: /api/v1/sessions/{name}"))),
        _ => Ok(world
            .sessions
            .session(index, client.map(Arc::from).as_ref())),
    }
}

pub(super) async fn refreshed(session: &Session) -> Result<Json<Status>, Problem> {
    let (ended, status) = refresh_now(session)
        .await
        .map_err(|e| stored(session, &e))?;
    match ended {
        Ended::Renewed => Ok(Json(status)),
        Ended::Failed => {
            let (why, help) = reason(&status);
            let problem = problem(
                session,
                StatusCode::BAD_GATEWAY,
                format!("the refresh failed: {why}"),
            );
            Err(problem.hint(help))
        }
        Ended::Nothing => Err(problem(
            session,
            StatusCode::CONFLICT,
            "there is nothing to refresh with".to_owned(),
        )
        .hint(session.hint())),
    }
}

/// Refreshes a session, and tells from what changed how that ended.
pub async fn refresh_now(session: &Session) -> Result<(Ended, Status), store::Error> {
    let calls = || session.counters().attempts().values().sum::<u64>();
    let (before, generation) = (calls(), session.generation());
    let status = session.refresh_now().await?;
    let ended = if status.generation > generation.0 {
        Ended::Renewed
    } else if status.state == "degraded" {
        // Also before any call: a store that cannot be written.
        Ended::Failed
    } else if calls() == before {
        Ended::Nothing
    } else if status
        .last_refresh
        .as_ref()
        .is_some_and(|last| last.result == "ok")
    {
        Ended::Renewed
    } else {
        Ended::Failed
    };
    Ok((ended, status))
}

/// Returns why a session's refresh failed, and what comes next.
pub fn reason(status: &Status) -> (String, String) {
    let message = status.message.clone().unwrap_or_default();
    match (message.rsplit_once("; "), &status.last_error) {
        (Some((why, help)), _) => (why.to_owned(), help.to_owned()),
        (None, Some(error)) => (error.clone(), "the old grant stays".to_owned()),
        (None, None) => (message, "the old grant stays".to_owned()),
    }
}

pub(super) async fn restored(session: &Session) -> Result<Json<Restored>, Problem> {
    match session.restore().await {
        Ok(Some(restored)) => Ok(Json(restored)),
        Ok(None) => Err(problem(
            session,
            StatusCode::CONFLICT,
            "there is no grant before this one".to_owned(),
        )),
        Err(error) => Err(stored(session, &error)),
    }
}

pub(super) async fn taken(
    state: &State,
    session: &Session,
    body: Sent,
) -> Result<Json<Status>, Problem> {
    let bytes = match timeout(BODY, to_bytes(body, material::LARGEST)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let detail = "the body is too large, or was not whole".to_owned();
            return Err(problem(session, StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        Err(_) => {
            let detail = "the body took too long".to_owned();
            return Err(problem(session, StatusCode::REQUEST_TIMEOUT, detail));
        }
    };
    let bounds = state.proxy.limits.cookie_bytes;
    let Body {
        fields,
        expires_at,
        cookies,
    } = Body::read(&bytes, Env::real().wall(), bounds)?;
    let material = session::Material {
        fields,
        expires_at,
        cookies,
    };
    let put = session.put_material(material).await;
    put.map(Json).map_err(|error| stored(session, &error))
}

pub(super) async fn forgotten(session: &Session) -> Result<Json<Status>, Problem> {
    let done = session.forget().await;
    done.map_err(|error| stored(session, &error))?;
    Ok(Json(session.status()))
}

fn stored(session: &Session, error: &store::Error) -> Problem {
    let problem = problem(
        session,
        StatusCode::INTERNAL_SERVER_ERROR,
        error.to_string(),
    );
    match error.hint() {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn problem(session: &Session, status: StatusCode, detail: String) -> Problem {
    let id = session.id();
    let place = match &id.client {
        None => format!("/api/v1/sessions/{}", id.name),
        Some(client) => format!("/api/v1/sessions/{}/clients/{client}", id.name),
    };
    Problem::new(status, detail).at(place)
}
