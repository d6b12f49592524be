//! `env`: what a shell needs so that its tools go through the running proxy.

use std::{io::Write as _, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    ca::{Root, trust::Anchor},
    cli::{
        client::Client,
        context::Context,
        error::Error,
        output::{self, Paint},
        run::{
            Folder,
            environment::{self, Environment},
        },
        runtime, tools,
    },
    config::Listen,
    server,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "For this shell and what it starts: eval \"$(staysigned env)\"")]
pub(in crate::cli) struct Args {
    /// Who it is for, where there are [clients]; with a password, that is in what is printed
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Prints the lines; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    context.log_quietly()?;
    let Args { client, json } = args;
    let found = context.load()?;
    let config = found.config();
    let who = tools::who(config, client.as_deref())?;
    if config.listen_tls.is_some() {
        return Err(Error::failed("the proxy speaks TLS to its clients, and few tools can")
            .hint("use `staysigned run -- CMD`, or set HTTPS_PROXY=https://NAME:PORT for those that can".to_owned()));
    }
    let running = runtime::one()?.block_on(Client::find(config));
    let listen = match &running {
        Some(client) => client.about.listen.clone(),
        None => {
            output::note(format_args!(
                "{} the proxy does not run (or its admin side is off); start it with `staysigned`",
                Paint::Warn("warning:")
            ));
            config.listen.iter().map(Listen::to_string).collect()
        }
    };
    let address = tools::address(&listen, &who).filter(|address| address.port() != 0);
    let address = address.ok_or_else(|| {
        Error::failed("the proxy has no TCP listener that tools could use")
            .hint("add one to `proxy.listen`, or use `staysigned run -- CMD`".to_owned())
    })?;
    let login = match client {
        Some(_) => tools::login(&found.loaded, &who, &context.variables)?,
        None => None,
    };
    // The folder stays, and with it the lines: a shell uses them after this process has ended.
    let folder = Folder::kept(&config.state.join("env"))
        .map_err(|e| Error::because("cannot make a folder for bundles", e))?;
    let ca: PathBuf = match &running {
        Some(client) => client.about.ca.clone().into(),
        None => Root::file(&config.ca.dir),
    };
    let anchor = Anchor::read(&ca)?;
    let roots = tools::system_roots(&ca);
    let params = environment::Params {
        inherited: &tools::inherited(&context.variables),
        proxy: address,
        login: login.as_ref().map(|(name, password)| (&**name, password)),
        ca: &anchor.der,
        roots: &roots,
        bound: &server::bound_hosts(config),
        sources: &config.source_variables,
        folder: &folder,
    };
    let environment = Environment::new(&params)
        .map_err(|e| Error::because("cannot prepare the environment", e))?;
    for note in &environment.notes {
        output::note(format_args!("{} {note}", Paint::Dim("note:")));
    }
    if json {
        let text = |text: &std::ffi::OsString| Value::from(text.to_string_lossy());
        let set = environment.set.iter();
        let set: serde_json::Map<String, Value> = set
            .map(|(name, value)| (name.to_string_lossy().into_owned(), text(value)))
            .collect();
        let unset: Vec<Value> = environment.unset.iter().map(text).collect();
        output::json(&json!({ "set": set, "unset": unset }))?;
    } else {
        let mut out = std::io::stdout();
        out.write_all(&environment.lines())
            .and_then(|()| out.flush())
            .map_err(Error::Write)?;
    }
    Ok(0)
}
