//! Lays out the program: the functions that a start runs through stand together. The system maps a program's file in
//! pieces of 64 KiB, so that a start which runs through a little of everything holds most of the file in memory.

use std::{env, fmt::Write as _, fs, path::Path, process::Command};

/// Their names, as `link/renew.sh` writes them.
const FIRST: &str = "link/first.txt";

/// The first glibc that relocates a program from the packed form, which is a fortieth as large and all of which a start
/// reads.
const PACKED: (u32, u32) = (2, 36);

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
    // What is built here runs with this library or a newer one in any case.
    if value("HOST") == value("TARGET") && glibc().is_some_and(|version| version >= PACKED) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Returns a linker script that places these functions before all others.
fn first(names: &str) -> String {
    let mut script = String::from("SECTIONS {\n.text.first : {\n");
    for name in names.lines() {
        // The compiler's prefixes for what is rarely called and for what runs before `main`, and its suffix for what
        // one module gave another to use.
        writeln!(
            script,
            "*(.text.{name} .text.{name}.llvm.* .text.startup.{name} .text.unlikely.{name} .text.unlikely.{name}.llvm.*)"
        )
        .expect("memory can be written to");
    }
    script.push_str("}\n}\nINSERT BEFORE .text;\n");
    script
}

/// Returns the version of this machine's C library.
fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .ok()?;
    let text = String::from_utf8(told.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
