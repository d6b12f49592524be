//! The same for a session that every client has of its own.

use axum::{
    Json,
    body::Body as Sent,
    extract::{Path, State as Given},
};

use super::{
    State, material,
    problem::Problem,
    sessions::{One, find, forgotten, one, refreshed, restored, taken},
};
use crate::session::{Restored, Status};

type Answer = Result<Json<Status>, Problem>;
type Place = Path<(String, String)>;

/// Returns a client's own session.
#[utoipa::path(get, path = "/api/v1/sessions/{name}/clients/{client}", tag = "sessions",
    responses((status = 200, body = One), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn get(
    Given(state): Given<State>,
    Path((name, client)): Place,
) -> Result<Json<One>, Problem> {
    Ok(Json(one(&*find(&state, &name, Some(&client))?)))
}

/// Forces a refresh of a client's own session.
#[utoipa::path(post, path = "/api/v1/sessions/{name}/clients/{client}/refresh", tag = "sessions",
    responses((status = 200, body = Status), (status = 404, body = Problem), (status = 409, body = Problem),
              (status = 502, body = Problem)))]
pub(super) async fn refresh(Given(state): Given<State>, Path((name, client)): Place) -> Answer {
    refreshed(&*find(&state, &name, Some(&client))?).await
}

/// Goes back to the grant before the last one.
#[utoipa::path(post, path = "/api/v1/sessions/{name}/clients/{client}/restore", tag = "sessions",
    responses((status = 200, body = Restored), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn restore(
    Given(state): Given<State>,
    Path((name, client)): Place,
) -> Result<Json<Restored>, Problem> {
    restored(&*find(&state, &name, Some(&client))?).await
}

/// Puts fields and cookies into a client's own session.
#[utoipa::path(put, path = "/api/v1/sessions/{name}/clients/{client}/grant", tag = "sessions",
    request_body = material::Sent,
    responses((status = 200, body = Status), (status = 400, body = Problem), (status = 404, body = Problem),
              (status = 413, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn put(
    Given(state): Given<State>,
    Path((name, client)): Place,
    body: Sent,
) -> Answer {
    let session = find(&state, &name, Some(&client))?;
    taken(&state, &session, body).await
}

/// Forgets all that a client's own session holds.
#[utoipa::path(delete, path = "/api/v1/sessions/{name}/clients/{client}/grant", tag = "sessions",
    responses((status = 200, body = Status), (status = 404, body = Problem)))]
pub(super) async fn forget(Given(state): Given<State>, Path((name, client)): Place) -> Answer {
    forgotten(&*find(&state, &name, Some(&client))?).await
}
