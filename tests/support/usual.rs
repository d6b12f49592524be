//! The usual surroundings of a test: one site for bearers of `t1`, and a proxy that has it.

use super::{
    origin::{Origin, origin},
    proxy::{Builder, Proxy, proxy},
};

pub const HOST: &str = "app.example.test";

/// The site, and the proxy before it runs.
pub async fn prepared() -> (Origin, Builder) {
    let site = origin(&[HOST]).bearer("t1").start().await;
    let proxy = proxy().site(&site).bearer("app", HOST, "t1");
    (site, proxy)
}

/// Both as they run.
pub async fn usual() -> (Origin, Proxy) {
    let (site, proxy) = prepared().await;
    (site, proxy.start().await)
}
