//! The commands, one file each: arguments, what is done, what is said.

pub(super) mod ca;
pub(super) mod change;
pub(super) mod check;
pub(super) mod completions;
pub(super) mod env;
pub(super) mod export;
pub(super) mod import;
pub(super) mod init;
pub(super) mod key;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod provider;
pub(super) mod refresh;
pub(super) mod restore;
pub(super) mod run;
pub(super) mod serve;
pub(super) mod status;
