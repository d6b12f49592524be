//! Secrets that exist once in the world, and the search for them in every form they may have been written in.

use std::path::Path;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// A secret of a test: 32 characters that nothing else contains.
pub fn canary(label: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random).expect("random bytes");
    let mut text: String = label
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(8)
        .collect();
    let rest = 32 - text.len();
    text.extend(
        random[..rest]
            .iter()
            .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])),
    );
    text
}

/// The forms in which a secret may appear: as it is, base64 at the three alignments, hexadecimal, percent-encoded.
pub fn forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let mut forms = vec![("raw", bytes.to_vec())];
    for skip in 0..3 {
        // Whole groups of three bytes from each alignment: what stands before and after cannot change their letters.
        let whole = &bytes[skip..skip + (bytes.len() - skip) / 3 * 3];
        forms.push(("base64", STANDARD_NO_PAD.encode(whole).into_bytes()));
        forms.push(("base64url", URL_SAFE_NO_PAD.encode(whole).into_bytes()));
    }
    let hex = |upper: bool| -> String {
        bytes
            .iter()
            .map(|byte| {
                if upper {
                    format!("{byte:02X}")
                } else {
                    format!("{byte:02x}")
                }
            })
            .collect()
    };
    forms.push(("hex", hex(false).into_bytes()));
    forms.push(("hex", hex(true).into_bytes()));
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    forms.push(("percent", percent.to_ascii_lowercase().into_bytes()));
    forms.push(("percent", percent.into_bytes()));
    forms.push(("reversed", bytes.iter().rev().copied().collect()));
    forms
}

/// Says in which form the bytes hold the secret.
pub fn find(haystack: &[u8], secret: &str) -> Option<&'static str> {
    let forms = forms(secret);
    let patterns = forms
        .iter()
        .map(|(_, form)| regex::escape(std::str::from_utf8(form).expect("canaries are ASCII")));
    let set = regex::bytes::RegexSet::new(patterns).expect("escaped text is a pattern");
    set.matches(haystack)
        .iter()
        .next()
        .map(|index| forms[index].0)
}

/// Fails if the text holds any of the secrets, naming the place and the form, and never the secret.
pub fn assert_none(place: &str, haystack: &[u8], secrets: &[(&str, &str)]) {
    for (name, secret) in secrets {
        if let Some(form) = find(haystack, secret) {
            panic!("{place} holds the secret {name:?} ({form})");
        }
    }
}

/// Searches every file below a folder, except those named.
pub fn assert_none_below(folder: &Path, except: &[&str], secrets: &[(&str, &str)]) -> usize {
    let mut searched = 0;
    for entry in std::fs::read_dir(folder).expect("read the folder") {
        let entry = entry.expect("entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if except.contains(&name.as_str()) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            searched += assert_none_below(&path, except, secrets);
        } else if path.is_file() {
            assert_none(
                &path.display().to_string(),
                &std::fs::read(&path).expect("read"),
                secrets,
            );
            searched += 1;
        }
    }
    searched
}

/// Searches what other users of the machine can see of a process, and its environment except the named variables.
pub fn assert_none_in_process(pid: u32, except_variables: &[&str], secrets: &[(&str, &str)]) {
    let argv = std::fs::read(format!("/proc/{pid}/cmdline")).expect("cmdline");
    assert_none("the command line", &argv, secrets);
    let environ = std::fs::read(format!("/proc/{pid}/environ")).expect("environ");
    for variable in environ.split(|byte| *byte == 0) {
        let name = variable
            .split(|byte| *byte == b'=')
            .next()
            .unwrap_or_default();
        if except_variables
            .iter()
            .any(|except| except.as_bytes() == name)
        {
            continue;
        }
        assert_none("the environment", variable, secrets);
    }
}
