//! What the tests are built from: throw-away certificates, origins, a token endpoint, rotating sites, a client, and
//! the proxy as a process.

pub mod authority;
pub mod beside;
pub mod canary;
pub mod cgi;
pub mod child;
pub mod client;
pub mod consent;
pub mod content;
pub mod cost;
pub mod dice;
pub mod frames;
pub mod gotrue;
pub mod netns;
pub mod oauth;
pub mod oidc;
pub mod origin;
pub mod pki;
pub mod ports;
pub mod project;
pub mod proxy;
pub mod raw;
pub mod rotating;
pub mod routes;
pub mod secured;
pub mod seen;
pub mod strace;
pub mod strict;
pub mod tap;
pub mod tool;
pub mod usual;
pub mod wait;
pub mod wire;

use std::process::Command;

pub use wait::{LIMIT, within};

/// What a fallible test step can fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Runs a command by another one, with its folder and its environment.
pub fn by(mut other: Command, command: &Command) -> Command {
    other
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    other.current_dir(command.get_current_dir().expect("a folder"));
    other.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    other
}
