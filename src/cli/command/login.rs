//! `login`: sign in by hand.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    admin,
    cli::{
        client::Client,
        command::status,
        context::{Context, Found},
        error::Error,
        login::{Wishes, again, by_code, by_device},
        output::{self, Paint},
        reach::{Reach, Which},
        runtime,
        signals::{self, Signals},
    },
    config::{self, Config, Place},
    import::From,
    rule::{GrantType, Login, Recipe, RefreshKind},
    server::{self, Secrets},
    session::Material,
    store,
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    which: Which,
    /// By a code that is typed in on any device, where the site has both ways
    #[arg(long, conflicts_with = "paste")]
    device: bool,
    /// Open the page in the desktop's browser as well
    #[arg(long)]
    open: bool,
    /// The browser is on another machine: read the address that it comes to from standard input
    #[arg(long)]
    paste: bool,
    /// Print what state the session is in then as JSON
    #[arg(long)]
    json: bool,
}

/// How a session's person signs in.
enum Way {
    Code,
    Device,
}

/// Signs in; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    context.log_quietly()?;
    let Args {
        which,
        device,
        open,
        paste,
        json,
    } = args;
    let found = context.load()?;
    which.check(found.config())?;
    let recipes = &found.config().recipes;
    let recipe = recipes.iter().find(|r| *r.name == *which.session);
    let recipe = Arc::clone(recipe.expect("the session was looked up"));
    let (login, way) = way(&recipe, device, paste)?;
    let sources = found.config().source_variables.clone();
    let wishes = Wishes {
        open,
        paste,
        sources: &sources,
    };
    let signed_in = runtime::one()?.block_on(async {
        keeps(found.config(), &recipe).await?;
        let Found { place, loaded } = found;
        let sign_in = server::sign_in(loaded, &context.variables, &which.session).await?;
        let sign_in = sign_in.expect("a session with endpoints has what they need");
        let mut signals = Signals::new().map_err(|e| Error::because("cannot watch signals", e))?;
        let obtained = async {
            match way {
                Way::Code => {
                    let (material, waiting) = by_code(&sign_in, &recipe, login, wishes).await?;
                    Ok::<_, Error>((material, Some(waiting)))
                }
                Way::Device => {
                    let material = by_device(&sign_in, &recipe, wishes).await?;
                    Ok((material, None))
                }
            }
        };
        let (material, waiting) = tokio::select! {
            obtained = obtained => obtained?,
            signal = signals.next() => return Ok(Err(signal)),
        };
        remark(&recipe, &material);
        let status = put(&context, place, &which, material).await;
        if let Some(waiting) = waiting {
            waiting.tell(status.is_ok()).await;
        }
        status.map(Ok)
    });
    match signed_in? {
        Ok(status) if json => output::json(&status)?,
        Ok(status) => output::print(format_args!("signed in\n{}\n", status::line(&status)))?,
        Err(signal) => {
            output::note("\nnobody was signed in, and nothing was changed");
            return Ok(signals::code(signal));
        }
    }
    Ok(0)
}

/// Says by which way, or why there is none.
fn way(recipe: &Recipe, device: bool, paste: bool) -> Result<(&Login, Way), Error> {
    let name = &recipe.name;
    let login = recipe.login.as_ref();
    let has_code = login.is_some_and(|login| login.authorization_endpoint.is_some());
    let has_device = login.is_some_and(|login| login.device_authorization_endpoint.is_some());
    match login {
        Some(login) if has_code && !device => Ok((login, Way::Code)),
        Some(login) if has_device && !paste => Ok((login, Way::Device)),
        Some(_) if has_code => Err(Error::asked(format!(
            "session {name} has no device_authorization_endpoint"
        ))
        .hint("leave --device out".to_owned())),
        Some(_) if has_device => Err(Error::asked(format!(
            "session {name} has no authorization_endpoint"
        ))
        .hint("leave --paste out".to_owned())),
        _ => Err(by_other_means(recipe)),
    }
}

/// Names the way into a session that has no codes.
fn by_other_means(recipe: &Recipe) -> Error {
    let name = &recipe.name;
    let hint = match &recipe.refresh.kind {
        RefreshKind::Import(import) if import.file.is_none() => {
            let from = &import.from;
            format!("sign in with {from} as always, then: staysigned refresh {name}")
        }
        RefreshKind::Steps(_) | RefreshKind::Command(_) => {
            format!("it signs in by itself: staysigned refresh {name}")
        }
        RefreshKind::Oauth2(oauth2) if oauth2.grant_type != GrantType::RefreshToken => {
            format!("it signs in by itself: staysigned refresh {name}")
        }
        // A recipe for a tool that keeps what it signs in with has a kind of import.
        _ if let Some(kind) = recipe
            .provider
            .as_ref()
            .filter(|name| name.parse::<From>().is_ok()) =>
        {
            format!("staysigned import {name} --from {kind}")
        }
        _ if recipe.cookies.enabled => format!(
            "sign in with a browser of this machine as always, then: staysigned import {name} --from firefox"
        ),
        _ => format!("staysigned import {name} --from KIND"),
    };
    Error::asked(format!("session {name} has no page to sign in at")).hint(hint)
}

/// Refuses to begin what nobody could keep.
async fn keeps(config: &Config, recipe: &Recipe) -> Result<(), Error> {
    let kept = recipe.persist && config.store.url != store::Kind::Memory;
    if kept || Client::find(config).await.is_some() {
        return Ok(());
    }
    let message = format!(
        "{} is kept in the memory of a proxy alone, and none runs",
        recipe.name
    );
    Err(Error::failed(message).hint("start it first: staysigned".to_owned()))
}

/// Says what the person would like to know of what came.
fn remark(recipe: &Recipe, material: &Material) {
    let renews = match &recipe.refresh.kind {
        RefreshKind::Oauth2(oauth2) => oauth2.grant_type == GrantType::RefreshToken,
        _ => false,
    };
    if renews && !material.fields.contains_key("refresh_token") {
        output::note(format_args!(
            "{} no refresh token came: one that is held stays, and without one the session ends with its access token \
             (many servers want a scope, offline_access, or a parameter for it)",
            Paint::Warn("warning:")
        ));
    }
}

/// Stores what came, by the proxy that runs or in the store itself; a proxy that has ended meanwhile loses nothing.
async fn put(
    context: &Context,
    place: Place,
    which: &Which,
    material: Material,
) -> Result<Value, Error> {
    let Material {
        fields,
        expires_at,
        cookies,
    } = material;
    let material = admin::Material {
        fields,
        expires_at,
        cookies,
    };
    let found = || {
        let loaded = config::load(&place, &context.variables)?;
        let place = place.clone();
        Ok::<_, Error>(Found { place, loaded })
    };
    let mut reach = Reach::new(context, found()?, Secrets::AtHand).await?;
    let ran = reach.runs();
    let put = reach.put(which, material.clone()).await;
    reach.close().await?;
    match put {
        Err(error) if ran => {
            tracing::debug!(%error, "the running proxy does not take it");
            let mut reach = Reach::store(context, found()?, Secrets::AtHand).await?;
            let put = reach.put(which, material).await;
            reach.close().await?;
            put
        }
        put => put,
    }
    .map_err(|error| error.hint(format!("begin again: {}", again(which))))
}
