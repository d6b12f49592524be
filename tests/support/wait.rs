//! Waiting, never for ever: a test that stands still fails, and says for what.

use std::{sync::Mutex, time::Duration};

/// One step of a test, on a busy machine too.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits for one step of a test, at most [`LIMIT`].
pub async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    within_limit(LIMIT, what, step).await
}

/// The same with a limit of its own.
pub async fn within_limit<T>(limit: Duration, what: &str, step: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, step)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {limit:?}"))
}

/// Calls a function until it returns something, for at most so long.
pub async fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let found = Mutex::new(None);
    let wait = async {
        loop {
            if let Some(value) = look() {
                *found.lock().unwrap() = Some(value);
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(limit, wait).await;
    found
        .into_inner()
        .unwrap()
        .unwrap_or_else(|| panic!("{what}: not within {limit:?}"))
}
