//! The plain types of values: texts, booleans, ports, paths, durations, sizes, lists.

use std::{path::PathBuf, time::Duration};

use super::{
    read::{At, Read},
    tree::Value,
};

/// A number of bytes: `4096` or `"4 KiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) usize);

/// A list, or a single value for a list of one.
#[derive(Clone, Debug)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

// === impl Read ===

impl Read for String {
    fn read(at: &At<'_>) -> Option<Self> {
        at.text().map(str::to_owned)
    }
}

impl Read for bool {
    fn read(at: &At<'_>) -> Option<Self> {
        match at.node.value {
            Value::Bool(yes) => Some(yes),
            _ => at.mismatch("true or false", "without quotes"),
        }
    }
}

impl Read for u16 {
    /// A port that can be connected to.
    fn read(at: &At<'_>) -> Option<Self> {
        at.number(1, Self::MAX.into())
            .and_then(|number| number.try_into().ok())
    }
}

impl Read for PathBuf {
    fn read(at: &At<'_>) -> Option<Self> {
        let text = at.text()?;
        if text.is_empty() {
            at.fault(
                "the path is empty",
                "relative paths are relative to the file",
            );
            return None;
        }
        Some(at.faults.folder.borrow().join(text))
    }
}

impl Read for Duration {
    fn read(at: &At<'_>) -> Option<Self> {
        const HINT: &str =
            "a duration is a number with its unit: \"500ms\", \"30s\", \"5m\", \"24h\", \"90d\"";
        if !matches!(at.node.value, Value::Text(_)) {
            return at.mismatch("a duration", HINT);
        }
        match humantime::parse_duration(at.text()?) {
            Ok(duration) => Some(duration),
            Err(_) => {
                at.fault("not a duration", HINT);
                None
            }
        }
    }
}

impl Read for Bytes {
    fn read(at: &At<'_>) -> Option<Self> {
        const HINT: &str =
            "a size is a number of bytes or a text with a unit: 4096, \"256 KiB\", \"4 MiB\"";
        let text = match &at.node.value {
            Value::Integer(_) => {
                return Some(Self(at.number(1, usize::MAX as u64)?.try_into().ok()?));
            }
            Value::Text(text) => text,
            _ => return at.mismatch("a size", HINT),
        };
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: Option<usize> = match unit.trim() {
            "B" | "" => Some(1),
            "KiB" | "K" => Some(1 << 10),
            "MiB" | "M" => Some(1 << 20),
            "GiB" | "G" => Some(1 << 30),
            "KB" | "kB" => Some(1_000),
            "MB" => Some(1_000_000),
            "GB" => Some(1_000_000_000),
            _ => None,
        };
        let size = number
            .parse::<usize>()
            .ok()
            .zip(factor)
            .and_then(|(number, factor)| number.checked_mul(factor))
            .filter(|size| *size > 0);
        if size.is_none() {
            at.fault("not a size", HINT);
        }
        size.map(Self)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(at: &At<'_>) -> Option<Self> {
        let items = at.list()?;
        Some(items.iter().filter_map(At::get).collect())
    }
}

impl<T: Read> Read for OneOrMany<T> {
    fn read(at: &At<'_>) -> Option<Self> {
        Some(Self(at.one_or_many().iter().filter_map(At::get).collect()))
    }
}
