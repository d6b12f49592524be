//! Lays out the program: the functions that a start runs through stand together. The system maps a program's file in
//! pieces of 64 KiB, so that a start which runs through a little of everything holds most of the file in memory.

use std::{env, fmt::Write as _, fs, path::Path};

/// Their names, as `link/renew.sh` writes them.
const FIRST: &str = "link/first.txt";

fn main() {
    println!("cargo::rerun-if-changed={FIRST}");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let value = |name| env::var(name).unwrap_or_default();
    // GNU ld and lld know such scripts, and one of them is the usual linker there. Another one has to be asked for.
    let usual = value("TARGET") == "x86_64-unknown-linux-gnu"
        && value("RUSTC_LINKER").is_empty()
        && !value("CARGO_ENCODED_RUSTFLAGS").contains("link");
    if !usual || value("PROFILE") != "release" {
        return;
    }
    let names = fs::read_to_string(FIRST).expect("the names are part of the sources");
    let script = Path::new(&value("OUT_DIR")).join("first.ld");
    fs::write(&script, first(&names)).expect("cargo's folder can be written to");
    println!("cargo::rustc-link-arg-bins=-T{}", script.display());
}

/// Returns a linker script that places these functions before all others.
fn first(names: &str) -> String {
    let mut script = String::from("SECTIONS {\n.text.first : {\n");
    for name in names.lines() {
        // What the compiler holds for rarely called has a prefix of its own.
        writeln!(script, "*(.text.{name} .text.unlikely.{name})")
            .expect("memory can be written to");
    }
    script.push_str("}\n}\nINSERT BEFORE .text;\n");
    script
}
