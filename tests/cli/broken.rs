//! Bad material for every importer: one clear error that names the place and what to do, and nothing of it is taken.

mod browsers;
mod importers;

use std::fs;

use self::importers::{KEY, importers};
use super::Said;
use crate::support::{
    proxy::{Proxy, proxy},
    tool::output,
};

const CONFIG: &str = r#"
[session.site]
bind = [{ host = "www.site.example" }]
[session.site.cookies]
[session.site.refresh]
kind = "none"

[session.tokens]
bind = [{ host = "api.site.example" }]
[[session.tokens.inject]]
header = "authorization"
value = "Bearer {{ access_token }}"
[session.tokens.refresh]
kind = "none"

[session.audible]
provider = "audible"

[session.app]
provider = "supabase"
values = { host = "abcdefghijklmnopqrst.supabase.co", apikey = "sb_publishable_0123456789abcdefghijkl" }
"#;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Truncated,
    WrongPassword,
    FlippedByte,
    WrongType,
    Bom,
    Crlf,
    Twice,
    Large,
    Locked,
    NoKeyring,
}

use Fault::{
    Bom, Crlf, FlippedByte, Large, Locked, NoKeyring, Truncated, Twice, WrongPassword, WrongType,
};

const FAULTS: [Fault; 10] = [
    Truncated,
    WrongPassword,
    FlippedByte,
    WrongType,
    Bom,
    Crlf,
    Twice,
    Large,
    Locked,
    NoKeyring,
];

/// What is said of it.
#[derive(Clone, Debug)]
enum Says {
    /// All is taken, as from a file without the fault.
    Whole,
    /// Nothing is, with these words.
    Refused(&'static [&'static str]),
    /// The kind cannot have this fault, and why.
    None(&'static str),
}

use Says::{None as Cannot, Refused, Whole};

fn state(proxy: &Proxy, session: &str) -> serde_json::Value {
    let status = proxy.status(session);
    serde_json::json!([
        status["generation"],
        status["state"],
        status["cookies"]["stored"]
    ])
}

/// The largest a command's memory was, in KiB, with what it said.
fn measured(proxy: &Proxy, arguments: &[&str]) -> (Said, u64) {
    const MEASURE: &str = "import resource, subprocess, sys\n\
        code = subprocess.run(sys.argv[1:]).returncode\n\
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n\
        sys.exit(code)";
    let inner = proxy.command(arguments);
    let mut command = proxy.command(&[]);
    let environment: Vec<_> = command
        .get_envs()
        .map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned)))
        .collect();
    command = std::process::Command::new("python3");
    command
        .args(["-c", MEASURE])
        .arg(inner.get_program())
        .args(inner.get_args());
    command.env_clear().current_dir(proxy.path());
    command.envs(environment.into_iter().filter_map(|(k, v)| Some((k, v?))));
    let said: Said = output(&mut command).into();
    let most = said
        .out
        .trim()
        .lines()
        .last()
        .expect("a number")
        .parse()
        .expect("KiB");
    (said, most)
}

/// Every importer × every fault: no cell is left out.
#[test]
fn every_importer_and_every_fault() {
    let proxy = proxy()
        .config(CONFIG)
        .env("KEY", KEY)
        .env("OTHER", "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
        .env("PASSWORD", "correct horse")
        .env("WRONG", "battery staple")
        .prepare();
    let large = proxy.path().join("large");
    let file = fs::File::create(&large).expect("a file");
    file.set_len(100 << 20).expect("100 MB, none of it written");
    let path = proxy.path().join("material");
    for importer in importers() {
        let run = |fault: Option<Fault>| -> (Said, u64) {
            let file = if fault == Some(Large) {
                "large"
            } else {
                "material"
            };
            let mut arguments = vec!["import", importer.session, "--from", importer.name];
            arguments.extend(
                importer
                    .options
                    .iter()
                    .map(|option| match (fault, *option) {
                        (Some(WrongPassword), "env:KEY") => "env:OTHER",
                        (Some(WrongPassword), "env:PASSWORD") => "env:WRONG",
                        (_, option) => option,
                    }),
            );
            arguments.push(file);
            match fault {
                Some(Large) => measured(&proxy, &arguments),
                _ => (proxy.cli(&arguments).into(), 0),
            }
        };
        fs::write(&path, &importer.good).expect("write");
        let (good, _) = run(None);
        assert_eq!(good.code, 0, "{}: {}", importer.name, good.err);
        let taken = good.out;
        for fault in FAULTS {
            let cell = importer.cells.iter().find(|(known, ..)| *known == fault);
            let (_, file, says) = cell.unwrap_or_else(|| panic!("{}: no {fault:?}", importer.name));
            let what = format!("{} ({}), {fault:?}", importer.name, importer.session);
            fs::write(&path, file).expect("write");
            let before = state(&proxy, importer.session);
            match says {
                Cannot(why) => println!("{what}: {why}"),
                Whole => {
                    let (said, _) = run(Some(fault));
                    assert_eq!(said.code, 0, "{what}: {}", said.err);
                    let counts = |text: &str| text.lines().next().map(str::to_owned);
                    let same = fault == Twice || counts(&said.out) == counts(&taken);
                    assert!(same, "{what}: {} for {taken}", said.out);
                    println!("{what}: {}", said.out.lines().next().unwrap_or_default());
                }
                Refused(words) => {
                    let (said, most) = run(Some(fault));
                    assert_eq!(said.code, 1, "{what}: {}{}", said.out, said.err);
                    for word in *words {
                        assert!(
                            said.err.contains(word),
                            "{what}: no {word:?} in: {}",
                            said.err
                        );
                    }
                    let secret = said.err.contains("canary") || said.err.contains("Atna");
                    assert!(!secret, "{what}: {}", said.err);
                    assert_eq!(
                        said.err.matches("error:").count(),
                        1,
                        "{what}: {}",
                        said.err
                    );
                    assert!(most < 100 << 10, "{what}: {most} KiB");
                    assert_eq!(state(&proxy, importer.session), before, "{what}");
                    println!("{what}: {}", said.err.trim().replace('\n', " | "));
                }
            }
        }
    }
}

/// Standard input does not say how large it is: no more is read than may be.
#[test]
fn a_large_standard_input() {
    let proxy = proxy().config(CONFIG).prepare();
    let line = "x".repeat(1 << 20);
    let arguments = ["import", "site", "--from", "json"];
    let said: Said = proxy.cli_with(&arguments, &line.repeat(20)).into();
    said.bad(1, &["standard input is larger than 16 MiB", "hint:"]);
}
