//! The OpenAPI document of the admin side.

use axum::Json;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{clients, events, metrics, probes, proxy, sessions};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "staysigned",
        description = "The admin side of the proxy. The token lies in `admin.token` in the state folder.",
    ),
    paths(
        probes::healthz,
        probes::readyz,
        metrics::get,
        proxy::get,
        sessions::list,
        sessions::get,
        sessions::refresh,
        sessions::restore,
        sessions::put,
        sessions::forget,
        clients::get,
        clients::refresh,
        clients::restore,
        clients::put,
        clients::forget,
        events::get,
        proxy::reload,
        get,
    ),
    security(("token" = [])),
    modifiers(&Token)
)]
pub(super) struct Api;

/// Says that all is asked for with the token, but what says otherwise.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// Returns this document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "proxy", responses((status = 200, body = Object)))]
pub(super) async fn get() -> Json<Document> {
    Json(Api::openapi())
}
