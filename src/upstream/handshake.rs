//! The beginning of an HTTP/2 connection, and the task that drives it.

use std::sync::Arc;

use super::{
    Shared,
    error::{Error, Sent},
    http2::{STREAM_WINDOW, WINDOW},
    io::{Filling, Listening, Stream},
};
use crate::http2::{
    Streams,
    client::{self, Sender},
};

/// Begins an HTTP/2 connection, which one task drives with all its streams; each of them holds `open`.
pub(super) async fn http2(
    io: Filling<Stream>,
    shared: &Shared,
    open: &Arc<()>,
) -> Result<Sender, Error> {
    let config = client::Config {
        stream_window: STREAM_WINDOW,
        window: WINDOW,
        head_bytes: shared.limits.head_bytes,
    };
    let streams = Streams::default();
    let sender = client::handshake(Listening(io), config, &streams, open).await;
    let sender = sender.map_err(|e| Error::http2(e, Sent::No))?;
    let counted = shared.count();
    shared.tasks.spawn(async move {
        let _counted = counted;
        streams.run().await;
    });
    Ok(sender)
}
