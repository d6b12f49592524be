//! `demo`: it ends by itself, and what it shows is true.

use std::time::{Duration, Instant};

use super::{program, say};

#[test]
fn the_script_alone_fails_and_through_staysigned_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let mut command = program(folder.path(), &["demo", "--json"]);
    command.env("TMPDIR", folder.path());
    let said = say(command).json();
    // Its scripts run for 18 seconds; what is before and behind them is short on a machine that is not busy.
    let elapsed = begun.elapsed();
    assert!(elapsed >= Duration::from_secs(18), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(40), "{elapsed:?}");
    let number = |pointer: &str| {
        said.pointer(pointer)
            .and_then(serde_json::Value::as_u64)
            .expect(pointer)
    };
    assert!(number("/script_alone/refused") > 20, "{said}");
    assert!(number("/through_staysigned/requests") > 20, "{said}");
    assert_eq!(number("/through_staysigned/refused"), 0, "{said}");
    assert!(
        number("/renewals") >= 3 && number("/rotations") > 10,
        "{said}"
    );
    assert!(number("/replays") >= 1, "{said}");
    assert_eq!(number("/refresh_tokens_reused"), 0, "{said}");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "its folder is gone"
    );
}
