//! The routes of both sides, in one list that the OpenAPI document is held to.

use axum::{
    Router,
    handler::Handler,
    http::{Method, StatusCode, Uri},
    response::IntoResponse,
    routing::{MethodFilter, on},
};

use super::{
    State, clients, events, metrics, openapi, page, probes, problem::Problem, proxy, sessions,
};

/// A router, and what is in it.
pub(super) struct Routes {
    pub(super) router: Router<State>,
    pub(super) list: Vec<(Method, &'static str)>,
}

// === impl Routes ===

impl Routes {
    /// API, metrics, probes and dashboard.
    pub(super) fn admin() -> Self {
        Self::new()
            .get("/healthz", probes::healthz)
            .get("/readyz", probes::readyz)
            .get("/metrics", metrics::get)
            .get("/api/v1/proxy", proxy::get)
            .get("/api/v1/sessions", sessions::list)
            .get("/api/v1/sessions/{name}", sessions::get)
            .post("/api/v1/sessions/{name}/refresh", sessions::refresh)
            .post("/api/v1/sessions/{name}/restore", sessions::restore)
            .put("/api/v1/sessions/{name}/grant", sessions::put)
            .delete("/api/v1/sessions/{name}/grant", sessions::forget)
            .get("/api/v1/sessions/{name}/clients/{client}", clients::get)
            .post(
                "/api/v1/sessions/{name}/clients/{client}/refresh",
                clients::refresh,
            )
            .post(
                "/api/v1/sessions/{name}/clients/{client}/restore",
                clients::restore,
            )
            .put(
                "/api/v1/sessions/{name}/clients/{client}/grant",
                clients::put,
            )
            .delete(
                "/api/v1/sessions/{name}/clients/{client}/grant",
                clients::forget,
            )
            .get("/api/v1/events", events::get)
            .post("/api/v1/reload", proxy::reload)
            .get("/api/v1/openapi.json", openapi::get)
            .get("/", page::html)
            .get("/page.js", page::script)
            .get("/page.css", page::style)
    }

    /// Probes and metrics.
    pub(super) fn health() -> Self {
        Self::new()
            .get("/healthz", probes::healthz)
            .get("/readyz", probes::readyz)
            .get("/metrics", metrics::get)
            .get("/ca.pem", probes::ca)
    }

    fn new() -> Self {
        let router = Router::new()
            .fallback(unknown)
            .method_not_allowed_fallback(not_that);
        Self {
            router,
            list: Vec::new(),
        }
    }

    fn get<H: Handler<T, State>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.on(Method::GET, MethodFilter::GET, path, handler)
    }

    fn post<H: Handler<T, State>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.on(Method::POST, MethodFilter::POST, path, handler)
    }

    fn put<H: Handler<T, State>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.on(Method::PUT, MethodFilter::PUT, path, handler)
    }

    fn delete<H: Handler<T, State>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.on(Method::DELETE, MethodFilter::DELETE, path, handler)
    }

    fn on<H: Handler<T, State>, T: 'static>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        handler: H,
    ) -> Self {
        self.list.push((method, path));
        self.router = self.router.route(path, on(filter, handler));
        self
    }
}

async fn unknown(uri: Uri) -> impl IntoResponse {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing here")
        .at(uri.path())
        .hint("/api/v1/openapi.json says what there is")
}

async fn not_that(method: Method, uri: Uri) -> impl IntoResponse {
    let detail = format!("{method} is not possible here");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).at(uri.path())
}
