//! WebSocket (RFC 6455): the handshake is an exchange like any other, with the credential put on; after 101, and only
//! then, bytes are relayed both ways.
//!
//! A client on HTTP/2 asks with an extended CONNECT (RFC 8441). What goes on from here is the handshake of HTTP/1.1, which
//! every server of WebSocket speaks, with a key of ours.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine, prelude::BASE64_STANDARD};
use h2::ext::Protocol;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
    request::Parts,
};
use tokio::sync::oneshot;

use super::{
    Proxy,
    body::ResponseBody,
    timer::{Activity, Busy},
    tunnel,
};
use crate::{
    http1::{BoxError, request::Upgraded},
    http2,
    upstream::{
        RequestBody,
        io::{Chunked, Io},
    },
};

/// What is put behind a key before it is hashed (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A WebSocket that was asked for over HTTP/2.
#[derive(Debug)]
pub struct Extended {
    /// What the upstream proves with that it understood.
    accept: HeaderValue,
    /// The client's connection is in use for as long as this stream of it.
    busy: Busy,
}

// === impl Extended ===

impl Extended {
    /// Turns an extended CONNECT into the handshake of HTTP/1.1; `None`: it is none.
    pub fn take(parts: &mut Parts, activity: &Arc<Activity>) -> Option<Self> {
        let is_websocket = |protocol: &Protocol| protocol.as_str() == "websocket";
        if parts.method != Method::CONNECT || !parts.extensions.get().is_some_and(is_websocket) {
            return None;
        }
        parts.method = Method::GET;
        let mut nonce = [0; 16];
        aws_lc_rs::rand::fill(&mut nonce).expect("the system's random source must answer");
        let key = BASE64_STANDARD.encode(nonce);
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
        let text = |text: String| HeaderValue::try_from(text).expect("base64 is ASCII");
        parts.headers.insert(SEC_WEBSOCKET_KEY, text(key));
        Some(Self {
            accept: text(BASE64_STANDARD.encode(hash)),
            busy: activity.busy(),
        })
    }

    /// Tells why an answer to the handshake is none that the client may see.
    pub fn objects<B>(&self, response: &Response<B>) -> Option<&'static str> {
        let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS if accept == Some(&self.accept) => None,
            StatusCode::SWITCHING_PROTOCOLS => Some("an answer to another WebSocket handshake"),
            // To the client a success would mean that the WebSocket is open.
            status if status.is_success() => Some("no WebSocket where one was asked for"),
            _ => None,
        }
    }
}

/// Writes the fields of the handshake that are meant for one hop, on the next one.
pub fn ask(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Where the client's connection comes from once it has changed over.
pub enum OnUpgrade {
    Http1(oneshot::Receiver<Upgraded>),
    Http2(oneshot::Receiver<http2::Tunnel>),
}

// === impl OnUpgrade ===

impl OnUpgrade {
    /// Takes it out of a request that asks for another protocol.
    pub fn take(body: &mut RequestBody) -> Option<Self> {
        match body {
            RequestBody::Http1(body) => body.take_upgraded().map(Self::Http1),
            RequestBody::Http2(body) => body.take_upgraded().map(Self::Http2),
        }
    }

    /// Waits for the client's connection.
    async fn connection(self) -> Result<Box<dyn Io>, BoxError> {
        Ok(match self {
            Self::Http1(upgraded) => {
                let (io, read) = upgraded.await?;
                Box::new(Chunked::with_prefix(io, read))
            }
            Self::Http2(stream) => Box::new(stream.await?),
        })
    }
}

/// Relays once both sides have changed over, and answers in the client's protocol; does nothing if the upstream did not
/// agree.
pub fn relay(
    proxy: &Proxy,
    client: Option<OnUpgrade>,
    extended: Option<Extended>,
    response: &mut Response<ResponseBody>,
) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let Some(client) = client else { return };
    let Some((upstream, read)) = response.body_mut().take_upgraded() else {
        return;
    };
    let upstream = Chunked::with_prefix(upstream, read);
    let (idle, stop) = (proxy.limits.tunnel_idle, proxy.stop.now.clone());
    if extended.is_some() {
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
    } else {
        ask(response.headers_mut());
    }
    let busy = extended.map(|extended| extended.busy);
    proxy.stop.tasks.spawn(async move {
        let _busy = busy;
        let client = match client.connection().await {
            Ok(client) => client,
            Err(error) => {
                tracing::debug!(
                    error = &*error as &dyn std::error::Error,
                    "the upgrade did not happen"
                );
                return;
            }
        };
        if let Err(error) = tunnel::relay(client, upstream, idle, &stop).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "upgraded connection ended"
            );
        }
    });
}
