//! By a browser that comes back with an authorization code (RFC 6749 §4.1, RFC 7636).

use std::{
    io::{self, BufRead as _, Read as _},
    thread,
};

use http::HeaderValue;
use tokio::{sync::oneshot, time::timeout};

use super::{
    PATIENCE, Wishes, browser,
    door::{Arrived, Door, Page},
    failed,
};
use crate::{
    auth::{
        code::{Authorization, Refused},
        pkce::unguessable,
    },
    cli::{
        error::Error,
        output::{self, Paint},
    },
    env::Env,
    rule::{Login, Recipe, RedirectUri},
    secret::Secret,
    session::{Material, refresh::SignIn},
};

/// Bytes of an address that is pasted.
const LONGEST: u64 = 64 * 1024;

/// A browser that is to be told how it ended, and its door.
pub(in crate::cli) struct Waiting(Option<(Arrived, Door)>);

/// Signs in; the recipe has an endpoint for it. Whoever waits is told what came of it when that is stored.
pub(in crate::cli) async fn by_code(
    sign_in: &SignIn,
    recipe: &Recipe,
    login: &Login,
    wishes: Wishes<'_>,
) -> Result<(Material, Waiting), Error> {
    let here = match &login.redirect_uri {
        RedirectUri::Loopback(loopback) if !wishes.paste => Some(loopback),
        _ => None,
    };
    if wishes.open && here.is_none() {
        return Err(
            Error::asked("the browser does not come back to this command")
                .hint("leave --open out: open the address that is printed yourself".to_owned()),
        );
    }
    let Some(loopback) = here else {
        let uri = match &login.redirect_uri {
            // Nobody listens; it only has to be one that the server takes.
            RedirectUri::Loopback(loopback) => match loopback.address().port() {
                0 => loopback.at(UNHEARD),
                port => loopback.at(port),
            },
            RedirectUri::Elsewhere(uri) => uri.clone(),
        };
        let (authorization, url) = begin(sign_in, recipe, uri)?;
        output::note(format_args!(
            "Open this address, and sign in:\n\n    {url}\n"
        ));
        let code = pasted(&authorization, &recipe.name).await?;
        let material = sign_in.exchange(&authorization, &code).await;
        let material = material.map_err(|error| failed(error, recipe))?;
        return Ok((material, Waiting(None)));
    };
    let place = loopback.address();
    let opened = Door::open(loopback).await;
    let mut door = opened.map_err(|error| unheard(error, place.port(), &recipe.name))?;
    let address = door.address();
    let address = address.map_err(|error| unheard(error, place.port(), &recipe.name))?;
    let (authorization, url) = begin(sign_in, recipe, loopback.at(address.port()))?;
    output::note(format_args!(
        "Open this address in a browser on this machine, and sign in:\n\n    {url}\n"
    ));
    if wishes.open
        && let Ok(to) = HeaderValue::try_from(&url)
    {
        let path = format!("/{}", unguessable(Env::real().bytes()));
        browser::open(&format!("http://{address}{path}"), wishes.sources);
        door.starts(path, to);
    }
    let progress = output::progress("waiting for the browser");
    let came = timeout(PATIENCE, come(&mut door, &authorization)).await;
    progress.finish_and_clear();
    let Ok(came) = came else {
        return Err(Error::failed(format!(
            "nobody signed in within {}",
            output::span(PATIENCE)
        ))
        .hint(format!("begin again: staysigned login {}", recipe.name)));
    };
    let (arrived, code) = came?;
    let exchanged = match code {
        Ok(code) => {
            let material = sign_in.exchange(&authorization, &code).await;
            material.map_err(|error| failed(error, recipe))
        }
        Err(refused) => Err(refusal(refused, &recipe.name)),
    };
    let waiting = Waiting(Some((arrived, door)));
    match exchanged {
        Ok(material) => Ok((material, waiting)),
        Err(error) => {
            waiting.tell(false).await;
            Err(error)
        }
    }
}

/// A port for a redirection that nobody waits for: no service is meant to be there (RFC 6335, discard).
const UNHEARD: u16 = 9;

fn begin(
    sign_in: &SignIn,
    recipe: &Recipe,
    redirect_uri: String,
) -> Result<(Authorization, String), Error> {
    let Some(begun) = sign_in.authorization(redirect_uri) else {
        return Err(Error::asked("there is no authorization endpoint"));
    };
    begun.map_err(|error| failed(error, recipe))
}

/// Waits for the browser. One that brings the answer to another sign-in is told so, and ends nothing: any page can
/// send a browser here.
async fn come(
    door: &mut Door,
    authorization: &Authorization,
) -> Result<(Arrived, Result<Secret, Refused>), Error> {
    loop {
        let arrived = door.next().await;
        let arrived = arrived.map_err(|e| Error::because("cannot wait for the browser", e))?;
        match authorization.read(arrived.query.expose()) {
            Err(error @ Refused::State) => {
                output::note(format_args!(
                    "{} a browser came, and {error}",
                    Paint::Warn("warning:")
                ));
                arrived.show(Page::Other);
            }
            other => return Ok((arrived, other)),
        }
    }
}

/// Reads the address that the browser came to, or its query alone.
async fn pasted(authorization: &Authorization, session: &str) -> Result<Secret, Error> {
    output::note(
        "Then paste the address of the page where it ends, whether that shows anything or not:",
    );
    let (sender, line) = oneshot::channel();
    // Nothing can end a thread that reads; it goes with the process.
    thread::spawn(move || {
        let mut text = String::new();
        let read = io::stdin().lock().take(LONGEST).read_line(&mut text);
        drop(sender.send(read.map(|_| Secret::from(text))));
    });
    let Ok(Ok(read)) = timeout(PATIENCE, line).await else {
        return Err(Error::failed("nothing was pasted"));
    };
    let text = read.map_err(|e| Error::because("cannot read standard input", e))?;
    let query = text.expose().trim();
    if query.is_empty() {
        return Err(Error::failed("nothing was pasted"));
    }
    let query = query.split_once('?').map_or(query, |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    authorization
        .read(query)
        .map_err(|refused| refusal(refused, session))
}

fn refusal(refused: Refused, session: &str) -> Error {
    let hint = match &refused {
        Refused::Denied | Refused::NoCode | Refused::State => "sign in again".to_owned(),
        Refused::Issuer => format!("is login.issuer right in [session.{session}]?"),
        Refused::Server(_) => format!(
            "are client_id, login.scope and login.redirect_uri of [session.{session}] as they were registered?"
        ),
    };
    Error::because("nobody was signed in", refused).hint(hint)
}

fn unheard(error: io::Error, port: u16, session: &str) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program listens on port {port}: end it, or register another port and set login.redirect_uri in \
             [session.{session}]; or sign in with --paste"
        ),
        _ => "sign in with --paste".to_owned(),
    };
    Error::because(
        format!("cannot listen for the browser on port {port}"),
        error,
    )
    .hint(hint)
}

// === impl Waiting ===

impl Waiting {
    /// Shows the browser what came of it.
    pub(in crate::cli) async fn tell(self, signed_in: bool) {
        let Some((arrived, door)) = self.0 else {
            return;
        };
        let page = match signed_in {
            true => Page::SignedIn,
            false => Page::Failed,
        };
        arrived.show(page);
        door.close(page).await;
    }
}
