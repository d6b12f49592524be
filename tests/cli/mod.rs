//! The command line as people use it: what is asked, what is said where, and the exit code.

/// The admin side, as a program and a browser meet it.
mod admin;
/// Material that cannot be read.
mod broken;
mod demo;
mod forms;
mod help;
mod init;
mod key;
/// Putting in, taking out, going back, forgetting.
mod material;
mod refresh;
mod run;
mod serve;
mod status;
/// Shells and machines: env, ca, provider, completions.
mod surroundings;

use std::process::{Command, Output, Stdio};

use crate::support::{proxy::PROGRAM, tool::output};

/// What a command said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// The command must succeed, and have nothing to complain about.
    #[track_caller]
    fn good(self) -> String {
        assert_eq!((self.code, &*self.err), (0, ""), "{}", self.out);
        self.out
    }

    /// The command must fail with this code, say why with all these words, and write nothing on standard output.
    #[track_caller]
    fn bad(self, code: i32, words: &[&str]) -> String {
        assert_eq!((self.code, &*self.out), (code, ""), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in: {}", self.err);
        }
        self.err
    }

    #[track_caller]
    fn json(self) -> serde_json::Value {
        let out = self.good();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("not ended by a signal"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// The program in a folder of its own, with an empty environment.
fn program(folder: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .stdin(Stdio::null());
    command
}

fn say(mut command: Command) -> Said {
    output(&mut command).into()
}
