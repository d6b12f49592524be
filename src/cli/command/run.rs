//! `run -- CMD`: a command through the running proxy, or through a private one that ends with it.
//!
//! Standard output is the command's alone.

use std::{
    ffi::{OsStr, OsString},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    ca::trust::Anchor,
    cli::{
        client::Client,
        context::{Context, Found},
        error::Error,
        output::{self, Paint},
        run::{
            Folder,
            child::{self, FAILED},
            environment::{self, Environment},
        },
        runtime,
        tools::{self, Who},
    },
    config::Listen,
    secret::Secret,
    server::{self, Options, Private, Server},
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Who it is run for, where there are [clients]
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
    /// The command with its arguments
    #[arg(
        value_name = "CMD",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<OsString>,
}

/// The proxy that the command goes through.
struct Through {
    address: SocketAddr,
    ca: PathBuf,
    login: Option<(String, Secret)>,
    private: Option<Running>,
}

/// A private proxy.
struct Running {
    end: oneshot::Sender<()>,
    task: JoinHandle<Result<(), server::Error>>,
}

/// Runs the command; returns its exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    let code = |error: Error| match error {
        Error::Run { .. } => error,
        error => Error::Run {
            code: FAILED,
            source: Box::new(error),
        },
    };
    if child::is_init() {
        let reaping = runtime::one().map_err(code)?.block_on(child::under_init());
        return reaping.map_err(failed);
    }
    let runtime = runtime::many().map_err(code)?;
    let result = runtime.block_on(through(context, args));
    // What the command left behind and the proxy did not finish is not waited for.
    runtime.shutdown_background();
    result.map_err(code)
}

async fn through(context: Context, args: Args) -> Result<u8, Error> {
    context.log_quietly()?;
    let found = context.load()?;
    let who = tools::who(found.config(), args.client.as_deref())?;
    let config = found.config().clone();
    let through = match running(&context, &found, &who).await? {
        Some(through) => through,
        None => private(&context, found, &who).await?,
    };
    let folder = Folder::temporary().map_err(|e| Error::because("cannot make a folder", e))?;
    let environment = {
        let anchor = Anchor::read(&through.ca)?;
        let roots = tools::system_roots(&through.ca);
        let params = environment::Params {
            inherited: &tools::inherited(&context.variables),
            proxy: through.address,
            login: through
                .login
                .as_ref()
                .map(|(name, password)| (&**name, password)),
            ca: &anchor.der,
            roots: &roots,
            bound: &server::bound_hosts(&config),
            sources: &config.source_variables,
            folder: &folder,
        };
        Environment::new(&params)
            .map_err(|e| Error::because("cannot prepare the environment", e))?
    };
    for note in &environment.notes {
        output::note(format_args!("{} {note}", Paint::Dim("note:")));
    }
    let code = child::run(&args.command, &environment).await;
    drop(folder);
    if let Some(Running { end, task }) = through.private {
        end.send(()).ok();
        // The code is the command's, whatever the end of the proxy was; that is in the log.
        match task.await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => output::note(format_args!("{} {error}", Paint::Warn("warning:"))),
        }
    }
    code.map_err(failed)
}

/// Finds the running proxy, if tools can use it.
async fn running(context: &Context, found: &Found, who: &Who) -> Result<Option<Through>, Error> {
    let config = found.config();
    // A tool would have to trust the certificate of the proxy, and to speak TLS to one at all; few do.
    if config.listen_tls.is_some() {
        return Ok(None);
    }
    let Some(client) = Client::find(config).await else {
        return Ok(None);
    };
    let Some(address) = tools::address(&client.about.listen, who) else {
        return Ok(None);
    };
    Ok(Some(Through {
        address,
        ca: client.about.ca.into(),
        login: tools::login(&found.loaded, who, &context.variables)?,
        private: None,
    }))
}

/// Starts a private proxy.
async fn private(context: &Context, found: Found, who: &Who) -> Result<Through, Error> {
    let login = who.name().map(|name| (name.to_owned(), tools::password()));
    let client = login
        .clone()
        .map(|(name, password)| (name.into(), password));
    let options = Options {
        private: Some(Private { client }),
    };
    let server = Server::start(found.place, context.variables.clone(), &options).await?;
    let address = server.addresses().iter().find_map(|listen| match listen {
        Listen::Tcp(address) => Some(*address),
        Listen::Unix(_) => None,
    });
    let (end, ended) = oneshot::channel();
    let ca = server.ca_file().to_owned();
    let task = tokio::spawn(server.run(async {
        drop(ended.await);
    }));
    Ok(Through {
        address: address.ok_or_else(|| Error::failed("the private proxy has no address"))?,
        ca,
        // The user of a loopback connection is known without a password, where the system tells.
        login: login.filter(|_| !cfg!(target_os = "linux")),
        private: Some(Running { end, task }),
    })
}

fn failed(error: child::Error) -> Error {
    let code = error.code();
    let hint = match &error {
        child::Error::Start { program, .. } if code == 127 => {
            let name = Path::new(program).display();
            Some(format!("is {name} installed, and its folder in PATH?"))
        }
        _ => None,
    };
    Error::Run {
        code,
        source: Box::new(Error::because("the command was not run", error).hint(hint)),
    }
}

/// Gives a wrong command line its exit code: `run` has 125, so that it cannot be taken for the command's.
pub(in crate::cli) fn usage(error: clap::Error, args: &[OsString]) -> Error {
    let mut words = args.iter().skip(1);
    let is_run = loop {
        match words.next().map(OsString::as_os_str) {
            Some(word) if word == OsStr::new("--config") => drop(words.next()),
            Some(word) if word.as_encoded_bytes().starts_with(b"-") => {}
            word => break word == Some(OsStr::new("run")),
        }
    };
    let error = Error::Usage(error);
    if is_run {
        return Error::Run {
            code: FAILED,
            source: Box::new(error),
        };
    }
    error
}
