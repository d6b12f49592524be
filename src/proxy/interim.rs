//! Informational answers (1xx) on their way to an HTTP/1.1 client: what the upstream says before its answer waits in
//! [`Interim`] until the client's connection, which stands between two messages then, writes it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, SET_COOKIE, TRAILER},
};

use super::timer::Activity;
use crate::{
    message::hop,
    upstream::{Gate, Hears},
};

/// What waits to be written before an answer.
#[derive(Debug, Default)]
pub struct Interim {
    /// Whether anything waits: looked at without a lock.
    waits: AtomicBool,
    heads: Mutex<Vec<u8>>,
}

/// What is heard of the upstream before it answers one request.
#[derive(Debug)]
pub struct Informed {
    /// The client's connection, if it can be told.
    pub client: Option<Arc<Activity>>,
    /// Whether cookies are kept from the client.
    pub hides_cookies: bool,
    /// Opens when the upstream wants the body that the client holds back.
    pub gate: Option<Arc<Gate>>,
    /// Bytes of all of them may be.
    pub limit: usize,
    pub bytes: AtomicUsize,
}

// === impl Interim ===

impl Interim {
    fn push(&self, status: StatusCode, headers: &HeaderMap) {
        let mut heads = self.heads.lock().expect("no panic while heads are held");
        heads.extend_from_slice(b"HTTP/1.1 ");
        heads.extend_from_slice(status.as_str().as_bytes());
        heads.extend_from_slice(b" ");
        heads.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
        heads.extend_from_slice(b"\r\n");
        for (name, value) in headers {
            heads.extend_from_slice(name.as_str().as_bytes());
            heads.extend_from_slice(b": ");
            heads.extend_from_slice(value.as_bytes());
            heads.extend_from_slice(b"\r\n");
        }
        heads.extend_from_slice(b"\r\n");
        self.waits.store(true, Ordering::Release);
    }

    /// Returns what has to be written now.
    pub fn take(&self) -> Option<Vec<u8>> {
        if !self.waits.load(Ordering::Acquire) {
            return None;
        }
        let mut heads = self.heads.lock().expect("no panic while heads are held");
        self.waits.store(false, Ordering::Release);
        Some(std::mem::take(&mut heads))
    }
}

// === impl Informed ===

impl Hears for Informed {
    fn hear(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        if status == StatusCode::CONTINUE {
            // The client is told when its body is asked for.
            if let Some(gate) = &self.gate {
                gate.open();
            }
        }
        let size = headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4);
        let size = size.sum::<usize>() + 32;
        let bytes = self.bytes.fetch_add(size, Ordering::Relaxed) + size;
        if bytes > self.limit {
            // More of them than anybody has a use for.
            return false;
        }
        let Some(client) = self
            .client
            .as_ref()
            .filter(|_| status != StatusCode::CONTINUE)
        else {
            return true;
        };
        let mut headers = headers.clone();
        hop::strip(&mut headers);
        hop::retain(&mut headers, |name, _| {
            // No framing in what has no body (RFC 9110 §8.6).
            *name != CONTENT_LENGTH
                && *name != TRAILER
                && !(self.hides_cookies && *name == SET_COOKIE)
        });
        client.interim.push(status, &headers);
        true
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_meant_for_the_client_waits_for_it() {
        let activity = Activity::new();
        let informed = Informed {
            client: Some(activity.clone()),
            hides_cookies: true,
            gate: None,
            limit: 600,
            bytes: AtomicUsize::new(0),
        };
        let mut headers = HeaderMap::new();
        for (field, value) in [
            ("link", "</a>"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("set-cookie", "a=1"),
            ("content-length", "3"),
        ] {
            headers.insert(field, HeaderValue::from_static(value));
        }
        assert!(activity.interim.take().is_none());
        assert!(
            informed.hear(StatusCode::CONTINUE, &headers),
            "not ours to say"
        );
        assert!(informed.hear(StatusCode::EARLY_HINTS, &headers));
        let head = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        assert_eq!(activity.interim.take().as_deref(), Some(head.as_bytes()));
        assert!(activity.interim.take().is_none());
        let more = (0..10).filter(|_| informed.hear(StatusCode::EARLY_HINTS, &headers));
        assert!(more.count() < 10, "a flood");
    }
}
