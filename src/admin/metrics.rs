use super::State;
use axum::extract::State as Given;
/// x
#[utoipa::path(get, path = "/metrics", tag = "probes", responses((status = 200, body = str)))]
pub(super) async fn get(Given(_state): Given<State>) -> String {
    String::new()
}
