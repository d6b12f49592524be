//! The beginning of an HTTP/2 connection, and the task that drives it.

use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{
    Shared,
    body::Body,
    calm::Calm,
    error::{Error, Sent},
    http2::{STREAM_WINDOW, WINDOW},
    io::{Filling, Listening, Stream},
};
use crate::http2::Streams;

/// Begins an HTTP/2 connection, which one task drives with all its streams.
pub(super) async fn http2(
    io: Filling<Stream>,
    shared: &Shared,
) -> Result<http2::SendRequest<Body>, Error> {
    let limits = &shared.limits;
    let streams = Streams::default();
    let handshake = http2::Builder::new(streams.clone())
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_while_idle(false)
        .handshake(TokioIo::new(Calm::of_server(Listening(io))));
    let (sender, connection) = handshake.await.map_err(|e| Error::http(e, Sent::No))?;
    hyper::rt::Executor::execute(&streams, async {
        if let Err(error) = connection.await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "upstream connection ended"
            );
        }
    });
    let counted = shared.count();
    shared.tasks.spawn(async move {
        let _counted = counted;
        streams.run().await;
    });
    Ok(sender)
}
