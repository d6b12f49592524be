//! The built-in providers, each against a site with its rules. Numbers in comments (1.3.2) are those of the lists of
//! cases that each provider was built to.

mod amazon;
mod amazon_expiry;
mod audible;
mod audible_renewal;
mod browsers;
mod choices;
mod cookies_json;
mod drafting;
mod drafts;
mod heartbeat;
mod keyrings;
mod library;
mod lwa;
mod marketplace;
mod mistakes;
mod mubi;
mod oreilly;
mod own;
pub mod profiles;
mod recorded;
mod supabase;
mod supabase_clients;
mod supabase_down;
mod together;
mod users;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// A JWT that nobody checks.
fn jwt(payload: &serde_json::Value) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let head = part(r#"{"alg":"none","typ":"JWT"}"#);
    format!("{head}.{}.{}", part(&payload.to_string()), part("unsigned"))
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}
