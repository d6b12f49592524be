//! Signing in by hand: how a person gets from the terminal to a page and back.

mod browser;
mod code;
mod device;
mod door;

pub(super) use self::{code::by_code, device::by_device};

use std::time::Duration;

use super::{error::Error, reach::Which};
use crate::{
    rule::{ClientAuth, Recipe, RefreshKind},
    session::refresh::SignInError,
};

/// How long a person has: a password manager, a second factor and a consent take some minutes.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// How the person wants it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wishes<'a> {
    /// The page is opened in the desktop's browser.
    pub(super) open: bool,
    /// The address that the browser comes to is read from standard input.
    pub(super) paste: bool,
    /// Variables that secrets are read from: no browser inherits them.
    pub(super) sources: &'a [String],
}

/// Returns the failure of a sign-in for people.
fn failed(error: SignInError, recipe: &Recipe) -> Error {
    let client_auth = match &recipe.refresh.kind {
        RefreshKind::Oauth2(oauth2) => oauth2.client_auth,
        _ => ClientAuth::None,
    };
    let hint = error.hint(&recipe.name, client_auth);
    Error::because("nobody was signed in", error).hint(hint)
}

/// Returns the command that begins again.
pub(super) fn again(which: &Which) -> String {
    let client = which.client.as_ref();
    let client = client.map_or_else(String::new, |client| format!(" --client {client}"));
    format!("staysigned login {}{client}", which.session)
}
