//! `status`: what state the sessions are in, once or for ever.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    cli::{
        context::Context,
        error::Error,
        output,
        reach::{self, Reach},
        runtime,
        table::{self, Row},
    },
    server::Secrets,
};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Only this session
    session: Option<String>,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// Look again every second, until ^C
    #[arg(long)]
    watch: bool,
}

/// Shows the sessions; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    context.log_quietly()?;
    runtime::one()?.block_on(async {
        let mut looked = false;
        loop {
            let sessions = once(&context, args.session.as_deref()).await?;
            if args.json && args.watch {
                // One object a line: a program can tell where one ends.
                output::print(format_args!("{}\n", json!({ "sessions": sessions })))?;
            } else if args.json {
                output::json(&json!({ "sessions": sessions }))?;
            } else {
                let before = match (args.watch, output::is_terminal()) {
                    (true, true) => CLEAR,
                    (true, false) if looked => "\n",
                    _ => "",
                };
                output::print(format_args!("{before}{}", shown(&sessions)))?;
            }
            if !args.watch {
                return Ok(0);
            }
            looked = true;
            sleep(EVERY).await;
        }
    })
}

/// To the upper left, and nothing below.
const CLEAR: &str = "\x1b[H\x1b[2J";

async fn once(context: &Context, name: Option<&str>) -> Result<Vec<Value>, Error> {
    let found = context.load()?;
    if let Some(name) = name
        && !found
            .config()
            .recipes
            .iter()
            .any(|recipe| &*recipe.name == name)
    {
        let hint = reach::names(found.config());
        return Err(Error::asked(format!("there is no session {name}")).hint(hint));
    }
    let mut reach = Reach::new(context, found, Secrets::AtHand).await?;
    let sessions = reach.status(name).await;
    reach.close().await?;
    sessions
}

fn shown(sessions: &[Value]) -> String {
    if sessions.is_empty() {
        return "There is no session yet: add [session.NAME] to the configuration.\n".to_owned();
    }
    let rows: Vec<Row> = sessions.iter().filter_map(Row::of).collect();
    table::table(&rows, SystemTime::now())
}

/// Returns a session in a line.
pub(in crate::cli) fn line(status: &Value) -> String {
    Row::of(status).map_or_else(
        || status["name"].to_string(),
        |row| row.line(SystemTime::now()),
    )
}
