//! `status`: what state the sessions are in, once or for ever.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    cli::{
        context::Context,
        error::Error,
        output::{self, Paint},
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
            let Seen { sessions, running } = once(&context, args.session.as_deref()).await?;
            if args.json && args.watch {
                // One object a line: a program can tell where one ends.
                output::print(format_args!("{}\n", json!({ "sessions": sessions })))?;
            } else if args.json {
                output::json(&json!({ "sessions": sessions }))?;
            } else {
                let mut text = shown(&sessions, running);
                text.extend(sessions.iter().map(history));
                match (args.watch, output::is_terminal()) {
                    (true, true) => output::print(screen(&text, looked))?,
                    (true, false) if looked => output::print(format_args!("\n{text}"))?,
                    _ => output::print(text)?,
                }
            }
            if !args.watch {
                return Ok(0);
            }
            looked = true;
            sleep(EVERY).await;
        }
    })
}

/// What a look showed.
struct Seen {
    sessions: Vec<Value>,
    /// Whether a proxy runs with this configuration, and said it.
    running: bool,
}

/// Returns what draws a text over the one before. Each line is written over its old self: a screen that is cleared
/// first flickers. What does not fit is left out: it would scroll.
fn screen(text: &str, again: bool) -> String {
    let (_, rows) = output::size();
    let lines = text.lines().take(usize::from(rows).saturating_sub(1));
    let lines: String = lines.map(|line| format!("{line}\x1b[K\n")).collect();
    let clear = if again { "" } else { "\x1b[2J" };
    format!("{clear}\x1b[H{lines}\x1b[J")
}

async fn once(context: &Context, name: Option<&str>) -> Result<Seen, Error> {
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
    let running = matches!(reach, Reach::Running(_));
    let sessions = reach.status(name).await;
    reach.close().await?;
    Ok(Seen {
        sessions: sessions?,
        running,
    })
}

fn shown(sessions: &[Value], running: bool) -> String {
    if sessions.is_empty() {
        return "There is no session yet: add [session.NAME] to the configuration. One with per_client is there for a \
                client that has a grant.\n"
            .to_owned();
    }
    let rows: Vec<Row> = sessions.iter().filter_map(Row::of).collect();
    let table = table::table(&rows, SystemTime::now());
    if running {
        return table;
    }
    let note = "No proxy runs with this configuration: this is what the store holds.";
    format!("{table}\n{}\n", Paint::Dim(note))
}

/// Returns what happened to a session, if it is told: an event in a line.
fn history(status: &Value) -> String {
    let events = status["history"].as_array().into_iter().flatten();
    let mut text = String::new();
    for event in events {
        let part = |key: &str| event[key].as_str().unwrap_or_default();
        let before = if text.is_empty() { "\n" } else { "" };
        let mut said = vec![part("detail").to_owned()];
        let took = event["took_ms"].as_u64();
        // Of one that succeeded it is part of what is said.
        said.extend(
            took.filter(|_| part("name") != "refresh.succeeded")
                .map(|ms| format!("{ms} ms")),
        );
        said.extend([part("asked_by"), part("request")].map(str::to_owned));
        said.retain(|said| !said.is_empty());
        text += &format!(
            "{before}{}  {:<19}  {}\n",
            part("at"),
            part("name"),
            said.join("; ")
        );
    }
    text
}

/// Returns a session in a line.
pub(in crate::cli) fn line(status: &Value) -> String {
    Row::of(status).map_or_else(
        || status["name"].to_string(),
        |row| row.line(SystemTime::now()),
    )
}
