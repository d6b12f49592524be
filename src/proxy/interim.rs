//! Informational answers (1xx) on their way to a client (RFC 9110 §15.2): what the upstream says before its answer is
//! given to the client's stream, or waits in [`Interim`] until the client's connection, which stands between two messages
//! then, writes it.

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
    http1::{Spelling, server::informational},
    http2::server::Informing,
    message::hop,
    upstream::{Gate, Hears},
};

/// What a head counts beside its fields: about what it takes in memory on its way.
const HEAD: usize = 256;

/// What waits to be written before an answer over HTTP/1.1.
#[derive(Debug, Default)]
pub struct Interim {
    /// Whether anything waits: looked at without a lock.
    waits: AtomicBool,
    heads: Mutex<Vec<u8>>,
}

/// A client that can be told something before its answer.
#[derive(Clone, Debug)]
pub enum Informs {
    Http1(Arc<Activity>),
    Http2(Arc<Informing>),
}

/// What is heard of the upstream before it answers one request.
#[derive(Debug)]
pub struct Informed {
    pub client: Option<Informs>,
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
    fn push(&self, status: StatusCode, headers: &HeaderMap, spelling: &Spelling) {
        let mut heads = self.heads.lock().expect("no panic while heads are held");
        informational(status, headers, spelling, &mut heads);
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

// === impl Informs ===

impl Informs {
    fn tell(&self, status: StatusCode, headers: HeaderMap, spelling: &Spelling) {
        match self {
            Self::Http1(client) => client.interim.push(status, &headers, spelling),
            Self::Http2(client) => client.push(status, headers),
        }
    }
}

/// Lets a body through that is held back, and has the client send it (RFC 9110 §10.1.1).
pub fn want_body(gate: Option<&Arc<Gate>>, client: Option<&Informs>) {
    let opened = gate.is_some_and(|gate| gate.open());
    // Over HTTP/1.1 it is asked for when it is read.
    if opened && let Some(Informs::Http2(client)) = client {
        client.push(StatusCode::CONTINUE, HeaderMap::new());
    }
}

// === impl Informed ===

impl Hears for Informed {
    fn hear(&self, status: StatusCode, headers: &HeaderMap, spelling: &Spelling) -> bool {
        let size = headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4);
        let size = size.sum::<usize>() + HEAD;
        let bytes = self.bytes.fetch_add(size, Ordering::Relaxed) + size;
        // More of them than anybody has a use for; or, over HTTP/2, the one that does not exist there (RFC 9113 §8.6).
        if bytes > self.limit || status == StatusCode::SWITCHING_PROTOCOLS {
            return false;
        }
        if status == StatusCode::CONTINUE {
            // Who holds nothing back is not told.
            want_body(self.gate.as_ref(), self.client.as_ref());
            return true;
        }
        let Some(client) = &self.client else {
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
        client.tell(status, headers, spelling);
        true
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::http1::PLAIN;

    #[test]
    fn what_is_meant_for_the_client_waits_for_it() {
        let activity = Activity::new();
        let informed = Informed {
            client: Some(Informs::Http1(activity.clone())),
            hides_cookies: true,
            gate: None,
            limit: 1500,
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
            informed.hear(StatusCode::CONTINUE, &headers, &PLAIN),
            "not ours to say"
        );
        assert!(informed.hear(StatusCode::EARLY_HINTS, &headers, &PLAIN));
        let head = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        assert_eq!(activity.interim.take().as_deref(), Some(head.as_bytes()));
        assert!(activity.interim.take().is_none());
        let more = (0..10).filter(|_| informed.hear(StatusCode::EARLY_HINTS, &headers, &PLAIN));
        assert!(more.count() < 10, "a flood");
    }
}
