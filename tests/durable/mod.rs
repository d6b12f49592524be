//! Real processes, and what happens to them in the middle of a rotation: death, pauses, disks that fail, networks
//! that are silent.

mod disk;
mod full;
mod kill;
mod patient;
mod rekey;

use std::process::Command;

use crate::support::{
    authority::{Authority, session},
    oauth::{Pair, Policy},
    origin::Origin,
    proxy::{Builder, proxy},
};

const HOST: &str = "api.example.test";

/// A site whose refresh tokens are good for one use, and who is logged in there.
async fn world(policy: Policy) -> (Authority, Origin, Pair) {
    let authority = Authority::new(policy);
    let pair = authority.login();
    let site = authority.site(HOST).start().await;
    (authority, site, pair)
}

/// The proxy for it, its tasks on one thread, so that the calls of a rotation have an order.
fn with(site: &Origin, pair: &Pair, more: &str) -> Builder {
    proxy()
        .site(site)
        .config(session("app", HOST, more))
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
        .env("TOKIO_WORKER_THREADS", "1")
        .level("info")
}

/// Runs a command by another one, with its folder and its environment.
fn by(mut other: Command, command: &Command) -> Command {
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
