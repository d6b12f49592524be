//! What the demo shows: a table that is drawn anew in its place on a terminal, else a line a second.

use std::{fmt::Write as _, time::Duration};

use super::{
    Counted, LENGTH,
    site::{API, LIFE, SHOP},
    tally::{Client, Result, SITES, Tally},
};
use crate::cli::output::{self, Paint};

/// How many of the last requests are shown.
const LAST: usize = 32;

const CLIENTS: [Client; 2] = [Client::Plain, Client::Staysigned];

/// The screen, or what stands for one.
pub(super) struct View {
    terminal: bool,
    /// The lines that were drawn, to go back over.
    drawn: usize,
    /// The second that was told last.
    told: u64,
}

// === impl View ===

impl View {
    pub(super) fn new() -> Self {
        // A line that is broken in two, or scrolls away, would not be gone back over.
        const SPACE: (u16, u16) = (80, 16);
        let (columns, rows) = output::size();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let fits = columns >= SPACE.0 && rows >= SPACE.1;
        Self {
            terminal: output::is_terminal() && !dumb && fits,
            drawn: 0,
            told: 0,
        }
    }

    /// Says what is to be seen.
    pub(super) fn introduce(&self) -> std::result::Result<(), crate::cli::Error> {
        let life = LIFE.as_secs();
        output::print(format_args!(
            "Two sites on this machine, for {} seconds; no network, no account.\n  \
             {API}   an access token lives {life} s, a refresh token is good for one use\n  \
             {SHOP}  every answer sets a new cookie, and the old one is void\n\
             A script asks both, four times a second, with what it was given at the start.\n\
             Beside it the same script runs through staysigned, with nothing.\n\n",
            LENGTH.as_secs()
        ))
    }

    /// Shows how things stand.
    pub(super) fn show(
        &mut self,
        tally: &Tally,
        counted: &Counted,
        at: Duration,
    ) -> std::result::Result<(), crate::cli::Error> {
        if self.terminal {
            let text = table(tally, counted, at);
            let back = match self.drawn {
                0 => String::new(),
                lines => format!("\x1b[{lines}A"),
            };
            self.drawn = text.lines().count();
            // Each line is cleared to its end: what stood there may have been longer.
            let text: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
            return output::print(format_args!("{back}{text}"));
        }
        let second = at.as_secs();
        if second == self.told {
            return Ok(());
        }
        let first = self.told == 0;
        self.told = second;
        if first {
            output::print(head())?;
        }
        output::print(format_args!("{}\n", line(tally, second)))
    }
}

fn table(tally: &Tally, counted: &Counted, at: Duration) -> String {
    let mut text = String::new();
    for site in SITES {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", Paint::Bold(site));
        for client in CLIENTS {
            let count = tally.count(site, client);
            let last: String = tally
                .last(site, client, LAST)
                .map(|result| match result {
                    Result::Ok => Paint::Good("•").to_string(),
                    Result::Refused => Paint::Bad("×").to_string(),
                    Result::Failed => Paint::Warn("!").to_string(),
                })
                .collect();
            let refused = format!("{:>3} refused", count.refused + count.failed);
            let refused = match count.refused + count.failed {
                0 => Paint::Dim(refused).to_string(),
                _ => Paint::Bad(refused).to_string(),
            };
            let _ = writeln!(
                text,
                "  {:<19} {:>3} ok  {refused}  {last}",
                client.name(),
                count.ok
            );
        }
    }
    let Counted {
        renewals,
        rotations,
        replays,
    } = counted;
    let _ = writeln!(
        text,
        "staysigned: tokens renewed {renewals}×, cookies kept {rotations}×, sent again {replays}×"
    );
    const WIDTH: usize = 40;
    let done = (at.as_millis() * WIDTH as u128 / LENGTH.as_millis()) as usize;
    let done = done.min(WIDTH);
    let bar = format!(
        "{}{}",
        "━".repeat(done),
        Paint::Dim("━".repeat(WIDTH - done))
    );
    let _ = writeln!(text, "{bar} {} s of {}", at.as_secs(), LENGTH.as_secs());
    text
}

/// The head of the lines.
fn head() -> String {
    let mut text = format!("{:5}", "");
    for site in SITES {
        let _ = write!(text, "{site:<38}");
    }
    text = format!("{}\n{:5}", text.trim_end(), "");
    for client in [CLIENTS, CLIENTS].concat() {
        let _ = write!(text, "{:<19}", client.name());
    }
    text = format!("{}\n{:5}", text.trim_end(), "");
    text.push_str(&format!("{:<19}", " ok  refused").repeat(4));
    format!("{}\n", text.trim_end())
}

fn line(tally: &Tally, second: u64) -> String {
    let mut line = format!("{second:>2} s ");
    for site in SITES {
        for client in CLIENTS {
            let count = tally.count(site, client);
            let refused = count.refused + count.failed;
            let _ = write!(line, "{:>3}  {refused:>7}{:7}", count.ok, "");
        }
    }
    line.trim_end().to_owned()
}
