//! `import`: cookies and tokens that somebody has already, into a session.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use zeroize::Zeroizing;

use crate::{
    admin,
    cli::{
        command::status,
        context::Context,
        error::Error,
        output::{self, Paint},
        reach::{Reach, Which, in_memory_alone},
        runtime,
    },
    config::{Config, Source},
    import::{
        self, From, Kind, Material, Options,
        browser::{self, Keyring, Places},
    },
    jar::Bounds,
    origin::{Host, Scheme},
    rule::{UserAgent, user_agent},
    secret::Secret,
    server::Secrets,
    store,
};

/// How long somebody has to unlock the desktop's keyring.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A Cookie field as a browser's tools copy it goes in through standard input:\n  \
    staysigned import books --from header --domain example.com\nand paste, then ^D."
)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    which: Which,
    /// A browser (firefox, chrome, chromium, brave, edge, vivaldi, opera), or what the text is: cookies-txt, json,
    /// storage-state, header, curl, har, audible, supabase, fernet
    #[arg(long, value_name = "KIND", value_parser = kind)]
    from: From,
    /// The text's file; standard input without one, or with -
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The browser's profile, by its name or folder; the one that it starts with if it is not said
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Firefox: the container in which you are signed in
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// The host that its cookies are for; of a file with many, only those for this one are taken. From a browser
    /// without it: the hosts that the session is bound to
    #[arg(long, value_name = "HOST", value_parser = import::domain)]
    domain: Option<Host>,
    /// What an encrypted file, or a browser's cookies, are opened with: env:NAME, file:PATH, cmd:COMMAND or keyring:NAME
    #[arg(long, value_name = "SOURCE", value_parser = source)]
    password: Option<Source>,
    /// The key of fernet, or several with commas between: a source as for --password
    #[arg(long, value_name = "SOURCE", value_parser = source)]
    key: Option<Source>,
    /// Print what state the session is in then as JSON
    #[arg(long)]
    json: bool,
}

fn kind(text: &str) -> Result<From, String> {
    text.parse()
        .map_err(|error: import::Error| format!("{error}; {}", error.hint().unwrap_or_default()))
}

pub(super) fn source(text: &str) -> Result<Source, String> {
    let folder = std::env::current_dir().unwrap_or_default();
    Source::parse(text, &folder)
}

/// Imports; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    context.log_quietly()?;
    let Args {
        which,
        from,
        file,
        profile,
        container,
        domain,
        password,
        key,
        json,
    } = args;
    let is_browser = matches!(from, From::Browser(_));
    if is_browser && file.is_some() {
        return Err(Error::asked("a browser has no FILE")
            .hint("--profile names the folder of a profile".to_owned()));
    }
    if !is_browser && (profile.is_some() || container.is_some()) {
        return Err(Error::asked("--profile and --container are for browsers")
            .hint("leave them out".to_owned()));
    }
    let found = context.load()?;
    which.check(found.config())?;
    let text = match from {
        From::Text(kind) => read(file.as_deref(), kind)?,
        From::Browser(_) => Zeroizing::default(),
    };
    let recipes = &found.config().recipes;
    let recipe = recipes.iter().find(|r| *r.name == *which.session);
    let hosts: Vec<_> = recipe
        .into_iter()
        .flat_map(|recipe| &recipe.bind)
        .map(|bind| bind.target.host.clone())
        .collect();
    let mut options = Options {
        domain,
        scheme: scheme(found.config(), &which),
        bounds: Bounds::from(&found.config().limits),
        now: SystemTime::now(),
        password: secret(&context, "--password", password)?,
        key: secret(&context, "--key", key)?,
        hosts,
        values: recipe
            .map(|recipe| recipe.values.clone())
            .unwrap_or_default(),
    };
    let places = Places::of_process();
    let take = |options: &Options| match from {
        From::Text(kind) => import::read(kind, &text, options),
        From::Browser(browser) => {
            let ask = browser::Ask {
                browser,
                profile: profile.as_deref(),
                container: container.as_deref(),
                hosts: &options.hosts,
                places: &places,
                keyring: &Keyring::Desktop(PATIENCE),
            };
            browser::read(&ask, options)
        }
    };
    let mut read = take(&options);
    if read == Err(import::Error::NeedsPassword) && io::stdin().is_terminal() {
        let asked = dialoguer::Password::new().with_prompt("The password of the file");
        let asked = asked
            .interact()
            .map_err(|e| Error::because("no password was given", e))?;
        options.password = Some(asked.into());
        read = take(&options);
    }
    let Material {
        cookies,
        mut fields,
        user_agent,
        expires_at,
        warnings,
    } = read.map_err(|error| {
        let hint = error.hint().map(str::to_owned);
        Error::because("nothing was imported", error).hint(hint)
    })?;
    for warning in warnings {
        output::note(format_args!("{} {warning}", Paint::Warn("warning:")));
    }
    let counts = [(cookies.len(), "cookie"), (fields.len(), "token")];
    let mut taken: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }))
        .collect();
    let learns = recipe.is_some_and(|recipe| recipe.user_agent == Some(UserAgent::Learnt));
    match user_agent.filter(|_| learns) {
        Some(text) => {
            taken.push("the User-Agent".to_owned());
            fields.push((user_agent::FIELD.to_owned(), text.into()));
        }
        None if learns => output::note(format_args!(
            "{} it does not say with which User-Agent it was got: tools keep their own",
            Paint::Warn("warning:")
        )),
        None => {}
    }
    let material = admin::Material {
        fields: fields.into_iter().collect(),
        expires_at,
        cookies,
    };
    let kept = recipe.is_some_and(|recipe| recipe.persist)
        && found.config().store.url != store::Kind::Memory;
    let status = runtime::one()?.block_on(async {
        let mut reach = Reach::new(&context, found, Secrets::AtHand).await?;
        if !kept && !reach.runs() {
            return Err(in_memory_alone("imported", &which));
        }
        let status = reach.put(&which, material).await;
        reach.close().await?;
        status
    })?;
    if json {
        output::json(&status)?;
    } else {
        let taken = taken.join(" and ");
        output::print(format_args!("{taken} taken\n{}\n", status::line(&status)))?;
    }
    Ok(0)
}

pub(super) fn secret(
    context: &Context,
    option: &str,
    source: Option<Source>,
) -> Result<Option<Secret>, Error> {
    let Some(source) = source else {
        return Ok(None);
    };
    match source.read(&context.variables) {
        Ok(secret) => Ok(Some(secret)),
        Err(error) => {
            let hint = source.hint(&error);
            Err(Error::because(format!("{option} {source:?} cannot be read"), error).hint(hint))
        }
    }
}

/// Reads the text; one that is too large not at all, or no further than that is known.
pub(super) fn read(file: Option<&Path>, kind: Kind) -> Result<Zeroizing<Vec<u8>>, Error> {
    let largest = kind.largest();
    let mut text = Zeroizing::new(Vec::new());
    let (name, result) = match file.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let read = File::open(path).and_then(|file| {
                if file.metadata()?.len() > largest {
                    return Ok(true);
                }
                file.take(largest + 1).read_to_end(&mut text)?;
                Ok(false)
            });
            (path.display().to_string(), read)
        }
        None => {
            if io::stdin().is_terminal() {
                output::note("Paste it, then ^D on a line of its own:");
            }
            let read = io::stdin().take(largest + 1).read_to_end(&mut text);
            ("standard input".to_owned(), read.map(|_| false))
        }
    };
    let known = result.map_err(|e| Error::because(format!("cannot read {name}"), e))?;
    if known || text.len() as u64 > largest {
        let hint = match kind {
            Kind::Har => "record anew, no more than the page that you are signed in to",
            _ => "is it the right file?",
        };
        let text = format!(
            "nothing was imported: {name} is larger than {} MiB",
            largest >> 20
        );
        return Err(Error::failed(text).hint(hint.to_owned()));
    }
    Ok(text)
}

/// Returns the scheme of the session's origins; https if it has both.
fn scheme(config: &Config, which: &Which) -> Scheme {
    let recipe = config
        .recipes
        .iter()
        .find(|recipe| *recipe.name == *which.session);
    let plain = recipe.is_some_and(|recipe| {
        recipe
            .bind
            .iter()
            .all(|bind| bind.target.scheme == Scheme::Http)
    });
    if plain { Scheme::Http } else { Scheme::Https }
}
