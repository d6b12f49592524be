//! `restore`: go back to the grant before the last one.

use std::time::SystemTime;

use serde_json::Value;

use super::change::{self, Args};
use crate::{
    cli::{
        command::status,
        context::Context,
        error::Error,
        output::{self, Paint},
        reach::{Reach, Which},
        table,
    },
    server::Secrets,
};

/// Restores; returns the exit code.
pub(in crate::cli) fn run(context: Context, args: Args) -> Result<u8, Error> {
    let restore = async |reach: &mut Reach, which: &Which| reach.restore(which).await;
    let may = change::always;
    change::run(context, args, Secrets::AtHand, may, restore, shown)
}

/// Says what is held again, and what that is good for.
fn shown(status: &Value) -> String {
    let before = &status["restored"];
    let generation = &before["generation"];
    if let Some(warning) = before["warning"].as_str() {
        output::note(format_args!("{} {warning}", Paint::Warn("warning:")));
    }
    let obtained = match before["obtained_at"].as_str() {
        Some(at) => format!(", obtained {}", table::when(Some(at), SystemTime::now())),
        None => String::new(),
    };
    format!(
        "back to generation {generation}{obtained}\n{}",
        status::line(status)
    )
}
