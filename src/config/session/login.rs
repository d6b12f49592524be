//! How a person signs in by hand: `login`.

use std::collections::BTreeSet;

use super::refresh::texts;
use crate::{
    config::read::{At, Keys, Read},
    rule::{Login, Recipe, RedirectError, RedirectUri, RefreshKind, Url},
};

pub(super) fn read(keys: &Keys<'_>) -> Login {
    let url = |key| keys.at(key).and_then(|at| at.get::<Url>());
    let login = Login {
        authorization_endpoint: url("authorization_endpoint"),
        device_authorization_endpoint: url("device_authorization_endpoint"),
        redirect_uri: keys.or("redirect_uri", RedirectUri::default()),
        scope: keys.get("scope"),
        issuer: keys.get("issuer"),
        params: keys.at("params").map(|at| texts(&at)).unwrap_or_default(),
    };
    let ways = ["authorization_endpoint", "device_authorization_endpoint"];
    if !ways.iter().any(|way| keys.has(way)) {
        keys.at.fault(
            "there is no way to sign in",
            "authorization_endpoint or device_authorization_endpoint, as the site's documentation has them",
        );
    }
    for key in ["redirect_uri", "issuer"] {
        if keys.has(key) && !keys.has("authorization_endpoint") {
            keys.fault(
                key,
                format!("`{key}` belongs to an authorization endpoint, and there is none"),
                "add authorization_endpoint, or leave the key out",
            );
        }
    }
    login
}

/// Notes what a login would want of the rest of the session. `known` are the names of its fields.
pub(super) fn check(keys: &Keys<'_>, recipe: &Recipe, known: &BTreeSet<String>) {
    let Some(login) = &recipe.login else { return };
    if !matches!(recipe.refresh.kind, RefreshKind::Oauth2(_)) {
        keys.fault(
            "login",
            "a code is exchanged at the token endpoint, and there is none",
            "add [session.NAME.refresh] with kind = \"oauth2\" and token_url",
        );
    }
    let own = login.params.iter().any(|(name, _)| name == "client_id");
    if !own && !known.contains("client_id") {
        keys.fault("login", "a login needs client_id", "add it under `values`");
    }
}

// === impl Read ===

impl Read for RedirectUri {
    fn read(at: &At<'_>) -> Option<Self> {
        let hint = |error: &RedirectError| match error {
            RedirectError::Plain => {
                "127.0.0.1, [::1] or localhost; any other address is https, and is copied from the browser by hand"
            }
            _ => {
                "\"http://127.0.0.1/\" for any free port, \"http://localhost:8765/\", or as it was registered"
            }
        };
        match at.text()?.parse() {
            Ok(uri) => Some(uri),
            Err(error) => {
                at.fault(format!("not a redirection URI: {error}"), hint(&error));
                None
            }
        }
    }
}
