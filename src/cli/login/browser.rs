//! Opens a page in the desktop's browser.

use std::process::{Command, Stdio};

use crate::cli::output::{self, Paint};

/// What opens an address with whatever is meant for it.
const OPENER: &str = if cfg!(target_os = "macos") {
    "open"
} else {
    "xdg-open"
};

/// Opens an address, which others may see in the list of processes. That there is no browser is only said: the person
/// can open it.
pub(super) fn open(address: &str, sources: &[String]) {
    let mut command = Command::new(OPENER);
    command
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for name in sources {
        command.env_remove(name);
    }
    // It may become the browser and stay; it ends by itself.
    if let Err(error) = command.spawn() {
        output::note(format_args!(
            "{} {OPENER} cannot be started ({error}): open the address yourself",
            Paint::Warn("warning:")
        ));
    }
}
