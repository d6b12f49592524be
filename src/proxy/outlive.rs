//! An exchange whose client leaves before the answer is there.
//!
//! The library drops it with the connection. But once the upstream has the request, its answer may rotate what the
//! session holds, and nobody else will ever see that answer: the exchange goes on by itself until it has been learnt.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};

use super::{body::ResponseBody, exchange, requests::Scope};
use crate::upstream::RequestBody;

/// How long an answer may take that no client waits for.
const ALONE: Duration = Duration::from_secs(30);

/// How many of them go on at once: what clients leave behind must not pile up.
const AT_ONCE: usize = 32;

/// The room for exchanges that go on without their clients.
#[derive(Debug)]
pub struct Alone(Arc<Semaphore>);

/// An exchange that is not lost with its client.
pub(super) struct Outliving {
    /// `None`: it is over.
    exchange: Option<Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send>>>,
    stake: Arc<Stake>,
    scope: Arc<Scope>,
}

/// Whether an answer is on its way from which a session will learn.
#[derive(Debug, Default)]
pub(super) struct Stake(AtomicBool);

// === impl Stake ===

impl Stake {
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn settle(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

// === impl Alone ===

impl Default for Alone {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

// === impl Outliving ===

impl Outliving {
    pub(super) fn new(scope: Arc<Scope>, request: Request<RequestBody>) -> Self {
        let stake = Arc::<Stake>::default();
        // In a box: an idle connection holds no room for an exchange.
        let exchange = made_in_place(|| exchange::run(scope.clone(), request, stake.clone()));
        Self {
            exchange: Some(exchange),
            stake,
            scope,
        }
    }
}

/// Makes a value where it is to be. `Box::pin` would make it elsewhere and move all the room that it has.
fn made_in_place<T>(make: impl FnOnce() -> T) -> Pin<Box<T>> {
    let room = Box::new_uninit();
    Box::into_pin(Box::write(room, make()))
}

impl Future for Outliving {
    type Output = Response<ResponseBody>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(exchange) = &mut self.exchange else {
            return Poll::Pending;
        };
        let polled = exchange.as_mut().poll(cx);
        if polled.is_ready() {
            self.exchange = None;
        }
        polled
    }
}

impl Drop for Outliving {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take()
            && self.stake.0.load(Ordering::Relaxed)
            && let Ok(runtime) = Handle::try_current()
            && let Ok(room) = self.scope.proxy.alone.0.clone().try_acquire_owned()
        {
            let alone = async move {
                let _room = room;
                drop(timeout(ALONE, exchange).await);
            };
            self.scope.proxy.stop.tasks.spawn_on(alone, &runtime);
        }
    }
}
