//! `serve`: the proxy itself, until a signal ends it.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    admin,
    cli::{
        command::status,
        context::{Context, Found},
        error::Error,
        harden,
        log::{self, Format},
        output::{self, Paint},
        runtime,
        signals::{self, Signals},
    },
    config::{Config, Listen},
    server::{Options, Server},
};

/// Runs the proxy; returns the exit code.
pub(in crate::cli) fn run(context: Context) -> Result<u8, Error> {
    harden::no_core_dumps();
    let found = context.load()?;
    let config = found.config();
    let format = Format::of(config.log.format);
    log::start(&config.log.level, format)?;
    let runtime = runtime::many()?;
    let ended = runtime.block_on(serve(context, found, format));
    // A program that a secret is read from may still run; nobody waits for it now.
    runtime.shutdown_background();
    ended
}

async fn serve(context: Context, found: Found, format: Format) -> Result<u8, Error> {
    // From here on no signal just kills: before, nothing was begun.
    let deaf = |e| Error::because("cannot listen for signals", e);
    let mut signals = Signals::new().map_err(deaf)?;
    let hangup = signal(SignalKind::hangup()).map_err(deaf)?;
    let Context { variables, .. } = context;
    let Found { place, loaded } = found;
    let options = Options::default();
    let server = tokio::select! {
        server = Server::start(place, variables, &options) => server?,
        _ = signals.next() => return Ok(0),
    };
    announce(&server, &loaded.config, format);

    let reload = tokio::spawn(reload_on_hangup(hangup, server.reload_handle()));
    let (end, ended) = tokio::sync::oneshot::channel();
    let mut run = std::pin::pin!(server.run(async {
        // Whoever could say "now" is this function, and it waits for both.
        drop(ended.await);
    }));
    let first = tokio::select! {
        first = signals.next() => first,
        result = &mut run => return result.map(|()| 0).map_err(Error::from),
    };
    tracing::info!(
        signal = signals::name(first),
        "stopping: what is under way is finished"
    );
    // If nobody listens any more, it has ended.
    end.send(()).ok();
    let code = tokio::select! {
        result = run => result.map(|()| 0).map_err(Error::from),
        again = signals.next() => {
            tracing::warn!(signal = signals::name(again), "stopped at once");
            Ok(signals::code(again))
        }
    };
    reload.abort();
    code
}

/// Reads the configuration again at each SIGHUP.
async fn reload_on_hangup(mut hangup: Signal, reload: admin::Reload) {
    while hangup.recv().await.is_some() {
        // What came of it is in the log.
        drop(reload().await);
    }
}

/// Says what a person needs now: where the proxy listens, the CA, the sessions, and how a tool is led through it.
fn announce(server: &Server, config: &Config, format: Format) {
    let addresses: Vec<String> = server.addresses().iter().map(url).collect();
    let admin = server.admin_address();
    let ca = server.ca_file();
    let version = env!("CARGO_PKG_VERSION");
    let sessions = server.sessions().all();
    if format == Format::Json {
        let sessions = sessions.iter().map(|session| {
            let state = session.status().state;
            format!("{}={state}", session.id())
        });
        tracing::info!(
            version,
            listen = addresses.join(" "),
            admin = admin.as_ref().map(url),
            ca = %ca.display(),
            config = %config.file.display(),
            sessions = sessions.collect::<Vec<_>>().join(" "),
            "listening"
        );
        return;
    }
    let head = |word: &str| Paint::Dim(format!("  {word:<10}"));
    output::note(format_args!(
        "{} {version}, {}",
        Paint::Bold("staysigned"),
        config.file.display()
    ));
    output::note(format_args!("{}{}", head("proxy"), addresses.join(", ")));
    if let Some(admin) = &admin {
        let token = admin::token::file(&config.state);
        output::note(format_args!(
            "{}{}, token in {}",
            head("dashboard"),
            url(admin),
            token.display()
        ));
    }
    output::note(format_args!("{}{}", head("CA"), ca.display()));
    if config.recipes.is_empty() {
        output::note(format_args!(
            "{}none yet: add [session.NAME] to the configuration, then `kill -HUP {}`",
            head("sessions"),
            std::process::id()
        ));
    } else if sessions.is_empty() {
        output::note(format_args!(
            "{}none yet: each client has its own, once it has signed in, or with `staysigned import {} --client CLIENT`",
            head("sessions"),
            config.recipes[0].name
        ));
    }
    for (n, session) in sessions.iter().enumerate() {
        let status = session.status();
        let word = if n == 0 { "sessions" } else { "" };
        output::note(format_args!(
            "{}{}",
            head(word),
            status::line(&serde_json::json!(status))
        ));
    }
    output::note(format_args!(
        "{}staysigned run -- COMMAND, or in a shell: eval \"$(staysigned env)\"",
        head("use it")
    ));
}

fn url(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => format!("http://{address}"),
        Listen::Unix(_) => listen.to_string(),
    }
}
