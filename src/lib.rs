//! staysigned: a local HTTP(S) forward proxy that keeps any tool signed in.
//!
//! A map of the crate, from the bottom up; a module uses modules of a lower rank and its own, nothing else
//! (`tests/layering.rs` holds this):
//!
//! - rank 0, words: [`origin`], [`secret`], [`env`](mod@env), [`backoff`], [`limits`]
//! - rank 1, pure rules: [`grant`], [`jar`], [`rule`], [`auth`], [`message`], [`life`], [`provider`]
//! - rank 2, keeping and speaking: [`store`], [`http1`], [`http2`]
//! - rank 3, wire: [`ca`], [`upstream`]
//! - rank 4, the engine: [`session`], [`import`], [`export`]
//! - rank 5, the data path: [`proxy`]
//! - rank 6, as written: [`config`]
//! - rank 7, to look at it: [`admin`]
//! - rank 8, running it: [`server`]
//! - rank 9, commands: [`cli`]

pub mod admin;
pub mod auth;
pub mod backoff;
pub mod ca;
pub mod cli;
pub mod config;
pub mod env;
pub mod export;
pub mod grant;
pub mod http1;
pub mod http2;
pub mod import;
pub mod jar;
pub mod life;
pub mod limits;
pub mod message;
pub mod origin;
pub mod provider;
pub mod proxy;
pub mod rule;
pub mod secret;
pub mod server;
pub mod session;
pub mod store;
pub mod upstream;
