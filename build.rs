//! Lays out the program: the functions that a start runs through stand together, and constants that none reads stand
//! apart. The system maps a program's file in pieces of 64 KiB, so that a start which touches a little of everything
//! holds most of the file in memory.

use std::{env, fmt::Write as _, fs, path::Path, process::Command};

/// Their names, as `link/renew.sh` writes them.
const FIRST: &str = "link/first.txt";

/// Files of the cryptographic library, in assembly, that a start runs through: in each all is one section. Which of them
/// depends on the processor, so that the list has more than a single run shows.
const ASSEMBLY: [&str; 9] = [
    "aes128gcmsiv-x86_64",
    "aesni-x86_64",
    "bignum_montinv_p256",
    "p256-x86_64-asm",
    "p256_beeu-x86_64-asm",
    "rdrand-x86_64",
    "sha256-x86_64",
    "sha512-x86_64",
    "x86_64-mont",
];

/// Libraries none of whose constants a start reads.
const UNREAD: [&str; 16] = [
    "anstream",
    "brotli_decompressor",
    "clap_complete",
    "comfy_table",
    "console",
    "crc32fast",
    "h2",
    "hyper",
    "miniz_oxide",
    "minijinja",
    "regex_automata",
    "regex_syntax",
    "rusqlite",
    "unicode_segmentation",
    "unicode_width",
    "zmij",
];

/// The like among the constants of others: tables of curves, and the public suffixes.
const UNREAD_TABLES: [&str; 5] = [
    "*curve25519_*.o(.rodata)",
    "*edwards25519_*.o(.rodata)",
    "*(.rodata.p384_g_pre_comp)",
    "*(.rodata.p521_g_pre_comp)",
    "*(.rodata.*3psl4list*)",
];

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

/// Returns a linker script that places these functions before all others, and behind all other constants those that are
/// not read.
fn first(names: &str) -> String {
    let mut functions = String::new();
    for name in names.lines() {
        // The compiler's prefixes for what is rarely called and for what runs before `main`, and its suffix for what
        // one module gave another to use.
        writeln!(
            functions,
            "*(.text.{name} .text.{name}.llvm.* .text.startup.{name} .text.unlikely.{name} .text.unlikely.{name}.llvm.*)"
        )
        .expect("memory can be written to");
    }
    let assembly = ASSEMBLY.map(|file| format!("*-{file}.o(.text)\n")).concat();
    let libraries = UNREAD.map(|name| format!("*.{name}-*.rcgu.o(.rodata .rodata.*)\n"));
    let (libraries, tables) = (libraries.concat(), UNREAD_TABLES.join("\n"));
    format!(
        "SECTIONS {{\n.text.first : {{\n*crt1.o(.text)\n{assembly}{functions}}}\n}}\nINSERT BEFORE .text;\n\
         SECTIONS {{\n.rodata.last : {{\n{libraries}{tables}\n}}\n}}\nINSERT AFTER .rodata;\n"
    )
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
