//! Tools that no variable reaches: they get an option, before their own, so that their user's choice still counts.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

/// Returns the command line with what the tool needs put in behind its name.
pub(super) fn adapted(argv: &[OsString], bundle: &Path) -> Vec<OsString> {
    let name = argv.first().map(Path::new).and_then(Path::file_name);
    let more: Vec<OsString> = match name.and_then(OsStr::to_str) {
        // Debian's build (GnuTLS) reads no variable.
        Some("aria2c") => {
            let mut option = OsString::from("--ca-certificate=");
            option.push(bundle);
            vec![option]
        }
        // Prefers its own roots to any variable as long as certifi can be imported.
        Some("yt-dlp" | "yt-dlp_linux" | "yt-dlp_macos") => {
            vec!["--compat-options".into(), "no-certifi".into()]
        }
        _ => Vec::new(),
    };
    let mut all = argv.to_vec();
    all.splice(argv.len().min(1)..argv.len().min(1), more);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tools_that_need_it_get_options() {
        for (argv, expected) in [
            (&["curl", "aria2c"][..], &["curl", "aria2c"][..]),
            (
                &["aria2c", "-x4"],
                &["aria2c", "--ca-certificate=/b", "-x4"],
            ),
            (
                &["/usr/bin/yt-dlp", "u"],
                &["/usr/bin/yt-dlp", "--compat-options", "no-certifi", "u"],
            ),
            (&[], &[]),
        ] {
            let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
            assert_eq!(adapted(&argv, Path::new("/b")), expected);
        }
    }
}
