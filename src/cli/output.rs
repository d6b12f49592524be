//! What people see: lines with colours where they can be seen, tables as wide as the terminal, times as people say
//! them.

use std::{
    fmt::{self, Display},
    io::{self, IsTerminal, Write},
    time::{Duration, SystemTime},
};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::error::Error;

/// A word in the colour of what it says; whoever writes it strips the colour where it cannot be seen.
pub(super) enum Paint<T> {
    Error(T),
    Hint(T),
    Good(T),
    Bad(T),
    Warn(T),
    Dim(T),
    Bold(T),
}

impl<T: Display> Display for Paint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, text) = match self {
            Self::Error(text) => ("1;31", text),
            Self::Hint(text) => ("1;36", text),
            Self::Good(text) => ("32", text),
            Self::Bad(text) => ("31", text),
            Self::Warn(text) => ("33", text),
            Self::Dim(text) => ("2", text),
            Self::Bold(text) => ("1", text),
        };
        write!(f, "\x1b[{code}m{text}\x1b[0m")
    }
}

/// Writes a line to standard error. That nobody can read it can be told nobody.
pub(super) fn note(line: impl Display) {
    drop(writeln!(anstream::stderr(), "{line}"));
}

/// Writes to standard output; `--json` and `| head` both go through here.
pub(super) fn print(text: impl Display) -> Result<(), Error> {
    let mut out = anstream::stdout();
    write!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(Error::Write)
}

/// Writes a value as JSON, one line a field.
pub(super) fn json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).expect("what is printed is plain data");
    print(format_args!("{text}\n"))
}

/// Shows on a terminal that something is under way, once it takes longer than a moment. Where there is no terminal
/// nothing is shown: what came of it is said in the end.
pub(super) fn progress(text: impl Into<String>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    bar.set_style(style.expect("a template of known words"));
    bar.set_message(text.into());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Tells whether a person looks at standard output.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Returns the size of the terminal, in columns and rows; what everybody expects where there is none.
pub(super) fn size() -> (u16, u16) {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    match size {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
    }
}

/// Returns a table without lines, cut to the terminal's width if there is one.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    if is_terminal() {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(size().0);
    }
    table.add_rows(rows);
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
    }
    let lines = table.lines();
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Says how far a time is from now: "in 5 min", "3 h ago", "now".
pub(super) fn relative(time: SystemTime, now: SystemTime) -> String {
    match time.duration_since(now) {
        Ok(ahead) if ahead < Duration::from_secs(1) => "now".to_owned(),
        Ok(ahead) => format!("in {}", span(ahead)),
        Err(back) if back.duration() < Duration::from_secs(1) => "now".to_owned(),
        Err(back) => format!("{} ago", span(back.duration())),
    }
}

/// Says how long something is, in its largest unit of which there are at least two.
pub(super) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_say_them() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let after = |seconds| now + Duration::from_secs(seconds);
        for (time, expected) in [
            (now, "now"),
            (after(1), "in 1 s"),
            (after(119), "in 119 s"),
            (after(120), "in 2 min"),
            (after(7_300), "in 2 h"),
            (after(200_000), "in 2 d"),
            (now - Duration::from_millis(900), "now"),
            (now - Duration::from_secs(300), "5 min ago"),
        ] {
            assert_eq!(relative(time, now), expected);
        }
    }

    #[test]
    fn a_table_without_lines() {
        let rows = vec![vec!["a".to_owned(), "long text".to_owned()]];
        let text = table(&["NAME", "STATE"], rows);
        assert_eq!(text, "NAME  STATE\na     long text\n");
    }
}
