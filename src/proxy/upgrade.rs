//! WebSocket (RFC 6455): the handshake is an exchange like any other, with the credential put on; after 101, and only
//! then, bytes are relayed both ways.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONNECTION, UPGRADE},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::{Proxy, tunnel};

/// Writes the fields of the handshake that are meant for one hop, on the next one.
pub fn ask(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Relays once both sides have changed over; `false`: the upstream did not agree.
pub fn relay<B>(proxy: &Proxy, client: Option<OnUpgrade>, response: &mut Response<B>) -> bool {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return false;
    }
    let Some(client) = client else { return false };
    let upstream = hyper::upgrade::on(response);
    let (idle, stop) = (proxy.limits.tunnel_idle, proxy.stop.now.clone());
    proxy.stop.tasks.spawn(async move {
        let (client, upstream) = match tokio::try_join!(client, upstream) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the upgrade did not happen"
                );
                return;
            }
        };
        if let Err(error) =
            tunnel::relay(TokioIo::new(client), TokioIo::new(upstream), idle, &stop).await
        {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "upgraded connection ended"
            );
        }
    });
    true
}
