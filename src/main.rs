//! The program: a result becomes an exit code.

use std::process::ExitCode;

use staysigned::cli;

fn main() -> ExitCode {
    match cli::run(std::env::args_os()) {
        Ok(code) => code.into(),
        Err(error) => {
            error.tell();
            error.code().into()
        }
    }
}
