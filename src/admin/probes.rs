//! Probes: is the process alive, does it take requests; and the CA's certificate for those who must trust it.

use std::sync::atomic::Ordering;

use axum::{
    extract::State as Given,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};

use super::State;

/// Says that the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "probes", security(()),
    responses((status = 200, description = "The process is alive", body = str, content_type = "text/plain")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Says whether new work is taken. Sessions do not count: one that needs a login must not take the others off.
#[utoipa::path(get, path = "/readyz", tag = "probes", security(()),
    responses((status = 200, description = "New connections are taken", body = str, content_type = "text/plain"),
              (status = 503, description = "The proxy is being stopped", body = str, content_type = "text/plain")))]
pub(super) async fn readyz(Given(state): Given<State>) -> (StatusCode, &'static str) {
    if state.proxy.stop.draining.load(Ordering::Acquire) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

/// Returns the CA's certificate; it is no secret.
pub(super) async fn ca(Given(state): Given<State>) -> impl IntoResponse {
    let pem = state.proxy.ca.load().root().pem().to_owned();
    ([(CONTENT_TYPE, "application/x-pem-file")], pem)
}
