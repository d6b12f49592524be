//! What happens to sessions, as it happens: server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{RawQuery, State as Given},
    http::header::CONTENT_TYPE,
    response::IntoResponse,
};
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::timeout,
};

use super::State;
use crate::session::Event;

/// How often something is sent when nothing happens, so that a listener that left is noticed.
const ALIVE: Duration = Duration::from_secs(15);

/// Streams the events of all sessions from now on, each with its name, a session and a time; with `?past`, the last
/// hundred of each session before.
#[utoipa::path(get, path = "/api/v1/events", tag = "sessions",
    params(("past" = Option<bool>, Query, description = "whether what happened before is sent first")),
    responses((status = 200, description = "Events: `session.rotated`, `refresh.started`, `refresh.succeeded`, \
        `refresh.failed`, `session.expiring`, `session.expired`, `request.rejected`, `request.replayed`, \
        `session.needs_login`, `session.recovered`, `session.restored`", body = str, content_type = "text/event-stream")))]
pub(super) async fn get(
    Given(state): Given<State>,
    RawQuery(query): RawQuery,
) -> impl IntoResponse {
    let sessions = &state.proxy.world.load().sessions;
    // It goes on through reloads.
    let events = sessions.events();
    let wanted = query.is_some_and(|query| matches!(&*query, "past" | "past=true"));
    // Read after the stream has begun: nothing between the two is lost.
    let past = if wanted {
        sessions.history()
    } else {
        Vec::new()
    };
    let mut first: String = past.iter().map(written).collect();
    // The head alone would be held back until the first event.
    first.push_str(": from now on\n\n");
    let first = stream::once(async { Ok(Bytes::from(first)) });
    let body = Body::from_stream(first.chain(lines(events)));
    ([(CONTENT_TYPE, "text/event-stream")], body)
}

fn lines(events: Receiver<Arc<Event>>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(events, |mut events| async move {
        let line = match timeout(ALIVE, events.recv()).await {
            Ok(Ok(event)) => written(&event),
            Ok(Err(RecvError::Lagged(missed))) => {
                format!(": {missed} events were left out, you read too slowly\n\n")
            }
            Ok(Err(RecvError::Closed)) => return None,
            Err(_) => ": nothing new\n\n".to_owned(),
        };
        Some((Ok(Bytes::from(line)), events))
    })
}

fn written(event: &Event) -> String {
    let data = serde_json::to_string(event).expect("an event is plain data");
    format!("event: {}\ndata: {data}\n\n", event.name)
}
