//! The log of the program: text for people, JSON for programs, always on standard error.

use std::{
    error::Error as StdError,
    fmt::{self, Write as _},
    io::{self, IsTerminal as _},
    time::SystemTime,
};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::{
    error::{Error, chain},
    output::Paint,
};
use crate::config::LogFormat;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text { colours: bool },
    Json,
}

/// What stands in one event.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

/// Begins to log; the first one wins.
pub(super) fn start(level: &str, format: Format) -> Result<(), Error> {
    let filter = filter(level).map_err(|error| {
        let message = format!("{level:?} is not a log level: {error}");
        Error::asked(message).hint(
            "error, warn, info, debug or trace; for parts: info,staysigned::upstream=debug"
                .to_owned(),
        )
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .event_format(format)
        .finish();
    // Under test there may be one already.
    drop(tracing::subscriber::set_global_default(subscriber));
    Ok(())
}

/// A bare level is ours alone: what libraries say is for who asks for it by name. So are the warnings of `h2`: one
/// of them comes with each frame of a kind, and any client can send those without end.
fn filter(level: &str) -> Result<EnvFilter, String> {
    let bare = |part: &str| part.trim().parse::<LevelFilter>().ok();
    // A word that is no level would be taken for the name of a part.
    let strange = level
        .split(',')
        .find(|part| !part.contains(['=', '[']) && bare(part).is_none());
    if let Some(strange) = strange {
        return Err(format!("{strange:?} is none"));
    }
    let mut directives = match bare(level) {
        Some(level) if level > LevelFilter::WARN => format!("warn,staysigned={level}"),
        Some(_) | None => level.to_owned(),
    };
    if level.split(',').filter_map(bare).max() >= Some(LevelFilter::WARN) {
        // Before the others: the last one for a part counts.
        directives.insert_str(0, "h2=error,");
    }
    let filter = EnvFilter::builder().parse(directives);
    filter.map_err(|error| error.to_string())
}

// === impl Format ===

impl Format {
    pub(super) fn of(format: LogFormat) -> Self {
        let terminal = io::stderr().is_terminal();
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Auto if !terminal => Self::Json,
            LogFormat::Auto | LogFormat::Text => Self::text(),
        }
    }

    pub(super) fn text() -> Self {
        let choice = anstream::AutoStream::choice(&io::stderr());
        Self::Text {
            colours: choice != anstream::ColorChoice::Never,
        }
    }
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let at = now();
        match self {
            Self::Json => {
                let mut line = Map::new();
                line.insert("time".into(), at.into());
                line.insert("level".into(), metadata.level().as_str().into());
                line.insert("target".into(), metadata.target().into());
                line.insert("message".into(), fields.message.into());
                for (name, value) in fields.rest {
                    line.entry(name).or_insert(value);
                }
                writeln!(writer, "{}", Value::Object(line))
            }
            Self::Text { colours } => {
                let line = text(&at, *metadata.level(), &fields);
                if *colours {
                    writeln!(writer, "{line}")
                } else {
                    writeln!(writer, "{}", anstream::adapter::strip_str(&line))
                }
            }
        }
    }
}

fn text(at: &str, level: Level, fields: &Fields) -> String {
    let at = Paint::Dim(at);
    let mut line = match level {
        Level::ERROR => format!("{at} {}", Paint::Bad("ERROR")),
        Level::WARN => format!("{at} {} ", Paint::Warn("WARN")),
        Level::INFO => format!("{at} {} ", Paint::Good("INFO")),
        level => format!("{at} {}", Paint::Dim(level)),
    };
    line.push(' ');
    line.push_str(&fields.message);
    let mut below = String::new();
    for (name, value) in &fields.rest {
        let value = match value {
            Value::String(text) if plain(text) => text.clone(),
            Value::String(text) if text.contains('\n') => {
                below.push_str(&block(text));
                continue;
            }
            other => other.to_string(),
        };
        // Writing to a string does not fail.
        let _ = write!(line, " {}{value}", Paint::Dim(format!("{name}=")));
    }
    line + &below
}

/// Returns a text of several lines as it is, but set off: no line of it can be taken for an event.
fn block(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace(char::is_control, "\u{fffd}");
        format!("\n    {line}")
    });
    lines.collect()
}

fn plain(text: &str) -> bool {
    let quoted = |c: char| c.is_whitespace() || c.is_control() || c == '"';
    !text.is_empty() && !text.contains(quoted)
}

/// Returns the time in UTC, always as long: lines stand below each other.
fn now() -> String {
    let now = OffsetDateTime::from(SystemTime::now());
    let (date, time) = (now.date(), now.time());
    let (hour, minute, second, milli) = time.as_hms_milli();
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

// === impl Fields ===

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.rest.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            _ => self.put(field, text),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.put(field, value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn StdError + 'static)) {
        self.put(field, chain(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use time::format_description::well_known::Rfc3339;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, level: &str, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(level).unwrap())
            .with_writer(move || writer.clone())
            .event_format(format)
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn something() {
        let cause = Error::because("no answer", io::Error::from(io::ErrorKind::TimedOut));
        let error = &cause as &dyn StdError;
        tracing::warn!(
            session = "ads",
            tries = 2,
            error,
            detail = "a \"b\"",
            "not renewed"
        );
        tracing::debug!(target: "hyper::proto", "noise");
        tracing::warn!(target: "h2::proto", "a frame");
    }

    #[test]
    fn text_is_one_line_with_all_causes() {
        let line = logged(Format::Text { colours: false }, "info", something);
        let (at, rest) = line.split_once(' ').unwrap();
        assert!(OffsetDateTime::parse(at, &Rfc3339).is_ok(), "{at}");
        assert_eq!(
            rest,
            "WARN  not renewed session=ads tries=2 error=\"no answer: timed out\" detail=\"a \\\"b\\\"\"\n"
        );
        let coloured = logged(Format::Text { colours: true }, "info", something);
        assert!(coloured.contains("\x1b[33mWARN\x1b[0m"), "{coloured}");
    }

    #[test]
    fn what_has_lines_stands_below() {
        let text = logged(Format::Text { colours: false }, "info", || {
            tracing::error!(
                error = "a.toml:1:1\n  1 | x\u{1b}[2K\r2026 INFO",
                tries = 2,
                "refused"
            );
        });
        let (_, rest) = text.split_once(' ').unwrap();
        assert_eq!(
            rest,
            "ERROR refused tries=2\n    a.toml:1:1\n      1 | x\u{fffd}[2K\u{fffd}2026 INFO\n"
        );
    }

    #[test]
    fn json_is_one_object_a_line() {
        let line = logged(Format::Json, "info", something);
        let mut value: Value = serde_json::from_str(&line).unwrap();
        assert!(value["time"].take().is_string());
        assert_eq!(
            value,
            serde_json::json!({
                "time": null, "level": "WARN", "target": "staysigned::cli::log::tests", "message": "not renewed",
                "session": "ads", "tries": 2, "error": "no answer: timed out", "detail": "a \"b\"",
            })
        );
    }

    #[test]
    fn a_bare_level_is_ours_alone() {
        let lines = |level| logged(Format::Json, level, something).lines().count();
        assert_eq!(lines("trace"), 1);
        assert_eq!(lines("trace,hyper=debug"), 2);
        assert_eq!(lines("warn"), 1);
        assert_eq!(lines("info,staysigned::upstream=debug"), 1);
        assert_eq!(lines("info,h2=warn"), 2);
        assert_eq!(lines("h2=warn,info"), 2);
        assert_eq!(lines("error,h2=warn"), 1);
        assert_eq!(lines("error"), 0);
        assert_eq!(lines("off"), 0);
        for bad in ["loud", "info,loud", "staysigned=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
