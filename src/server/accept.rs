//! Taking in connections, as many at once as are allowed.

use std::{error::Error as StdError, sync::Arc};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::listen::{Accepted, Listener};
use crate::{
    admin::{self, Admin, Side},
    proxy::{Arrival, Proxy},
};

/// Accepts connections of clients until the proxy drains; those that wait then are served too.
pub(super) async fn accept(
    listener: Listener,
    tls: Option<TlsAcceptor>,
    proxy: Arc<Proxy>,
    connections: Arc<Semaphore>,
) {
    let drain = proxy.stop.drain.clone();
    let endless = async {
        loop {
            let (accepted, arrival) = listener.accept().await;
            let connections = connections.clone();
            // What is accepted is served, whatever happens meanwhile.
            let permit = async {
                tokio::select! {
                    permit = connections.acquire_owned() => permit.ok(),
                    () = drain.cancelled() => None,
                }
            };
            let permit = permit.await;
            serve(accepted, arrival, tls.clone(), proxy.clone(), permit);
        }
    };
    tokio::select! {
        biased;
        () = endless => {}
        () = drain.cancelled() => {}
    }
    for (accepted, arrival) in listener.close().await {
        let permit = connections.clone().try_acquire_owned().ok();
        serve(accepted, arrival, tls.clone(), proxy.clone(), permit);
    }
}

/// Serves a connection in a task of its own.
fn serve(
    accepted: Accepted,
    arrival: Arrival,
    tls: Option<TlsAcceptor>,
    proxy: Arc<Proxy>,
    permit: Option<OwnedSemaphorePermit>,
) {
    let tasks = proxy.stop.tasks.clone();
    tasks.spawn(async move {
        // What is rare is in boxes: no connection holds room for another kind.
        match (accepted, tls) {
            (Accepted::Tcp(io), Some(tls)) => Box::pin(serve_tls(io, tls, arrival, proxy)).await,
            (Accepted::Tcp(io), None) => proxy.serve(io, arrival).await,
            (Accepted::Unix(io), _) => Box::pin(proxy.serve(io, arrival)).await,
        }
        drop(permit);
    });
}

/// Serves a connection with TLS to the proxy itself.
async fn serve_tls(io: TcpStream, tls: TlsAcceptor, arrival: Arrival, proxy: Arc<Proxy>) {
    // In a box, which is given back: a connection that waits holds no room for its handshake.
    match Box::pin(timeout(proxy.limits.handshake, tls.accept(io))).await {
        Ok(Ok(io)) => proxy.serve(io, arrival).await,
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn StdError, "no TLS from the client")
        }
        Err(_) => tracing::debug!("the client does not finish the TLS handshake"),
    }
}

/// Accepts connections of the admin side or of the probes until the end of all; no more than a person and a few
/// programs need.
pub(super) async fn accept_aside(
    listener: Listener,
    side: Side,
    admin: Admin,
    tasks: TaskTracker,
    now: CancellationToken,
) {
    let connections = Arc::new(Semaphore::new(admin::CONNECTIONS));
    loop {
        let (accepted, _) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = now.cancelled() => return,
        };
        let Ok(permit) = connections.clone().acquire_owned().await else {
            return;
        };
        let (admin, now) = (admin.clone(), now.clone());
        tasks.spawn(async move {
            let serve = async {
                match accepted {
                    Accepted::Tcp(io) => admin.serve(io, side).await,
                    Accepted::Unix(io) => admin.serve(io, side).await,
                }
            };
            now.run_until_cancelled(serve).await;
            drop(permit);
        });
    }
}

/// Raises the limit of open files so that all connections fit: one to the client and one to the upstream each.
pub(super) fn raise_file_limit(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// Beside connections: the store, logs, listeners.
    const OTHERS: u64 = 64;
    let wanted = connections as u64 * 2 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|now| now >= wanted) {
        return;
    }
    let current = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(current),
            maximum: limit.maximum,
        },
    )
    .is_err()
        || current < connections as u64 + OTHERS
    {
        tracing::warn!(
            limit = current,
            wanted,
            "the limit of open files is lower than `limits.connections` needs"
        );
    }
}
