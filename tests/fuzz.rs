//! The inputs that the fuzzer found worth keeping, replayed: nothing panics, and every promise of `fuzz/targets/mod.rs` holds.

use std::{fs, panic, path::Path};

#[path = "../fuzz/targets/mod.rs"]
mod targets;

#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut wrong = Vec::new();
    for (name, target) in targets::ALL {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus.join(name)).expect("a corpus for each target") {
            let path = entry.expect("entry").path();
            let input = fs::read(&path).expect("an input");
            inputs += 1;
            if panic::catch_unwind(|| target(&input)).is_err() {
                wrong.push(format!("{name}: {}", path.display()));
            }
        }
        assert!(inputs > 0, "{name} has no input");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
