//! `export`: what a session holds, for tools that cannot use a proxy.
//!
//! It comes from the store itself: the admin side of a running proxy gives no secret to anybody.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    cli::{
        context::{Context, Found},
        error::Error,
        output::{self, Paint},
        reach::{Reach, Which},
        runtime,
    },
    export::{self, Kind, Written, file},
    import,
    origin::{Host, Origin, Scheme},
    rule::{HostPattern, Recipe, Target, sign::Sign},
    secret::Secret,
    server::Secrets,
    store,
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    which: Which,
    /// In what form: cookies-txt, json, cookies-json, storage-state, header, audible-standin
    #[arg(long, value_name = "KIND", value_parser = kind)]
    to: Kind,
    /// Where to; standard output without one, or with -. Only you can read the file
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// For a header: the host that it is for, if not the first that the session is bound to
    #[arg(long, value_name = "HOST", value_parser = import::domain)]
    domain: Option<Host>,
}

fn kind(text: &str) -> Result<Kind, String> {
    text.parse()
        .map_err(|error: export::Error| format!("{error}; {}", error.hint()))
}

/// Exports; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    context.log_quietly()?;
    let Args {
        which,
        to,
        file,
        domain,
    } = args;
    let found = context.load()?;
    which.check(found.config())?;
    let recipe = found
        .config()
        .recipes
        .iter()
        .find(|recipe| *recipe.name == *which.session);
    let kept = recipe.is_some_and(|recipe| recipe.persist);
    let kept = kept && found.config().store.url != store::Kind::Memory;
    if to == Kind::AudibleStandin {
        if !recipe.is_some_and(|recipe| matches!(recipe.sign, Some(Sign::Adp { .. }))) {
            let message = format!("{} is no session of Audible's", which.session);
            return Err(Error::asked(message).hint(
                "a stand-in is for a session whose requests are signed for Audible: provider = \"audible\"".to_owned(),
            ));
        }
        let nothing = BTreeMap::new();
        let values = recipe.map_or(&nothing, |recipe| &recipe.values).clone();
        let reach = kept.then_some((&context, found, &which));
        let Written { text, .. } = runtime::one()?.block_on(standin(reach, &values))?;
        return deliver(file, &text, Some("it opens nothing: it is for the tools"));
    }
    if !kept {
        return Err(
            Error::failed("the session is kept in the memory of the proxy alone")
                .hint("give it a store (`store.url`), and leave out `persist = false`".to_owned()),
        );
    }
    let Written { text, warnings } = runtime::one()?.block_on(async {
        let reach = Reach::store(&context, found, Secrets::AtHand).await?;
        let written = written(&reach, &which, to, domain).await;
        reach.close().await?;
        written
    })?;
    for warning in warnings {
        output::note(format_args!("{} {warning}", Paint::Warn("warning:")));
    }
    deliver(file, &text, None)
}

/// Writes to a file or to standard output; `harmless` says why it may be seen.
fn deliver(
    file: Option<PathBuf>,
    text: &Secret<Vec<u8>>,
    harmless: Option<&str>,
) -> Result<u8, Error> {
    match file.filter(|path| path != Path::new("-")) {
        Some(path) => {
            file::replace(&path, text.expose(), 0o600)
                .map_err(|e| Error::because(format!("cannot write {}", path.display()), e))?;
            let path = path.display();
            match harmless {
                Some(why) => output::note(format_args!("written to {path}; {why}")),
                None => output::note(format_args!("written to {path}, which only you can read")),
            }
        }
        None => {
            if harmless.is_none() && io::stdout().is_terminal() {
                output::note(format_args!(
                    "{} what follows is as good as a password",
                    Paint::Warn("warning:")
                ));
            }
            let mut out = io::stdout();
            out.write_all(text.expose())
                .and_then(|()| out.flush())
                .map_err(Error::Write)?;
        }
    }
    Ok(0)
}

async fn written(
    reach: &Reach,
    which: &Which,
    to: Kind,
    domain: Option<Host>,
) -> Result<Written, Error> {
    let session = reach.stored(which)?;
    let (_, grant, jar) = session.held().await?;
    let now = SystemTime::now();
    let origin = origin(session.recipe(), domain);
    let cookies: Vec<_> = match (to, origin) {
        (Kind::Header, Some(origin)) => jar.cookies_for(&origin, "/", now),
        _ => jar.iter(now).collect(),
    };
    export::write(to, &cookies, &grant).map_err(|error| {
        let hint = error.hint().to_owned();
        Error::because("nothing was exported", error).hint(hint)
    })
}

/// Makes a file for a tool, with the session's own stand-ins if it has a store: their key is the store's.
async fn standin(
    reach: Option<(&Context, Found, &Which)>,
    values: &BTreeMap<String, String>,
) -> Result<Written, Error> {
    let failed = |error| Error::because("nothing was exported", error);
    let now = SystemTime::now();
    let Some((context, found, which)) = reach else {
        return export::audible_standin(values, None, now).map_err(failed);
    };
    let reach = Reach::store(context, found, Secrets::AtHand).await?;
    let written = reach.stored(which).and_then(|session| {
        let standins = session.standins();
        let make =
            standins.map(|standins| |field: &str, value: &str| standins.maker().make(field, value));
        let make = make
            .as_ref()
            .map(|make| make as &dyn Fn(&str, &str) -> String);
        export::audible_standin(values, make, now).map_err(failed)
    });
    reach.close().await?;
    written
}

/// Returns whose cookies a `Cookie` field has: the named host's, or those of the first one that the session is bound
/// to by its name.
fn origin(recipe: &Recipe, domain: Option<Host>) -> Option<Origin> {
    let named = domain.map(|host| Origin {
        scheme: Scheme::Https,
        host,
        port: 443,
    });
    named.or_else(|| {
        recipe.bind.iter().find_map(|bind| match &bind.target {
            Target {
                scheme,
                host: HostPattern::Exact(host),
                port,
                ..
            } => Some(Origin {
                scheme: *scheme,
                host: host.clone(),
                port: *port,
            }),
            _ => None,
        })
    })
}
