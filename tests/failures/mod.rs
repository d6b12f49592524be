//! What goes wrong on the other side, each with its defined answer; and the proxy goes on.

mod answers;
mod eyeballs;
mod floods;
mod frames;
mod goaway;
mod gone;
mod limbo;
mod ours;
mod parting;
mod resets;
mod resolver;
mod secrecy;
mod stale;
mod unused;
mod uploads;
mod upstreams;

use http::{Request, header::TE};

use crate::support::origin::{Body, empty};

/// A GET that asks for trailers, so that it goes to an origin that speaks HTTP/2 over that.
fn over_http2(host: &str, path: &str) -> Request<Body> {
    let request = Request::get(format!("https://{host}{path}")).header(TE, "trailers");
    request.body(empty()).unwrap()
}
