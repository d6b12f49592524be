//! Sessions as people read them: a line, or a row of a table.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::output::{self, Paint};

const STATE: &str = "STATE";

/// What is shown of a session; a part of what `status --json` prints.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Row {
    name: String,
    client: Option<String>,
    state: String,
    valid: bool,
    message: Option<String>,
    last_error: Option<String>,
    expires_at: Option<String>,
    next_refresh_at: Option<String>,
    last_refresh: Option<Last>,
    bound_to: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Last {
    at: String,
    result: String,
}

// === impl Row ===

impl Row {
    /// Reads a status; `None` if it is from a version too different from this one.
    pub(super) fn of(status: &Value) -> Option<Self> {
        Self::deserialize(status).ok()
    }

    fn name(&self) -> String {
        match &self.client {
            None => self.name.clone(),
            Some(client) => format!("{}/{client}", self.name),
        }
    }

    /// Returns what a person should know or do.
    fn remark(&self, now: SystemTime) -> String {
        let ended = self.expires_at.as_deref().and_then(read) <= Some(now);
        match (&self.message, &self.last_error) {
            (Some(message), _) => message.clone(),
            (None, Some(error)) if self.state != "fresh" => error.clone(),
            _ if self.state != "fresh" || self.valid => String::new(),
            _ if !ended => "what is held cannot be put on a request".to_owned(),
            _ if self.next_refresh_at.is_none() => {
                "what is held has expired, and nothing renews it".to_owned()
            }
            _ => "what is held has expired; it is renewed at its next use".to_owned(),
        }
    }

    fn last(&self, now: SystemTime) -> String {
        match &self.last_refresh {
            None => "-".to_owned(),
            Some(Last { at, result }) if result == "ok" => when(Some(at.as_str()), now),
            Some(Last { at, result }) => {
                format!("{} {}", words(result), when(Some(at.as_str()), now))
            }
        }
    }

    /// Returns the session in a line: its name, its state, where it may go.
    pub(super) fn line(&self, now: SystemTime) -> String {
        let mut line = format!("{} {}", Paint::Bold(self.name()), painted(&self.state));
        if let Some(at) = &self.expires_at
            && self.valid
        {
            line = format!("{line}, ends {}", when(Some(at.as_str()), now));
        }
        let bound = Paint::Dim(self.bound_to.join(", "));
        match self.remark(now) {
            none if none.is_empty() => format!("{line}  {bound}"),
            remark => format!("{line}: {remark}"),
        }
    }
}

/// Returns the table of all sessions, and below it what a person should know of some.
pub(super) fn table(rows: &[Row], now: SystemTime) -> String {
    let header = ["SESSION", STATE, "ENDS", "NEXT REFRESH", "LAST REFRESH"];
    let cells = rows.iter().map(|row| {
        vec![
            row.name(),
            row.state.clone(),
            when(row.expires_at.as_deref(), now),
            when(row.next_refresh_at.as_deref(), now),
            row.last(now),
        ]
    });
    let text = output::table(&header, cells.collect());
    let column = text.find(STATE).unwrap_or_default();
    let table = text.lines().map(|line| coloured(line, column));
    let remarks = rows.iter().filter_map(|row| {
        let remark = row.remark(now);
        (!remark.is_empty()).then(|| format!("{}: {remark}\n", Paint::Bold(row.name())))
    });
    let remarks: String = remarks.collect();
    let blank = if remarks.is_empty() { "" } else { "\n" };
    table.chain([blank.to_owned(), remarks]).collect()
}

/// Colours the state in a line of the table: only now, since colours have no width.
fn coloured(line: &str, column: usize) -> String {
    // The header's columns are ASCII, a name need not be.
    let start = line
        .char_indices()
        .nth(column)
        .map_or(line.len(), |(at, _)| at);
    let (before, rest) = line.split_at(start);
    let end = rest.find(' ').unwrap_or(rest.len());
    match rest.split_at(end) {
        ("" | STATE, _) => format!("{line}\n"),
        (state, rest) => format!("{before}{}{rest}\n", painted(state)),
    }
}

/// Says how a refresh ended that brought nothing.
fn words(result: &str) -> &str {
    match result {
        "unsent" => "not sent",
        "in_doubt" => "not answered",
        "not_an_answer" => "no token in the answer,",
        "throttled" => "put off",
        "terminal" => "refused",
        "misconfigured" => "misconfigured,",
        "store" => "not stored,",
        other => other,
    }
}

fn painted(state: &str) -> String {
    match state {
        "fresh" => Paint::Good(state).to_string(),
        "needs_login" => Paint::Bad(state).to_string(),
        "refreshing" | "degraded" | "incomplete" | "empty" => Paint::Warn(state).to_string(),
        other => other.to_owned(),
    }
}

/// Says how far a time (RFC 3339) is from now; `-` for none.
pub(super) fn when(time: Option<&str>, now: SystemTime) -> String {
    let time = time.and_then(read);
    time.map_or_else(|| "-".to_owned(), |time| output::relative(time, now))
}

fn read(time: &str) -> Option<SystemTime> {
    let time = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    Some(time.into())
}
