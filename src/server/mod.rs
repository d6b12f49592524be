//! Runs the proxy: binds, accepts, reloads, drains.

mod build;
mod listen;
mod tls;

use std::{
    future::Future,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::Ordering},
};

use arc_swap::ArcSwap;
use tokio::{sync::Semaphore, time::timeout};
use tokio_rustls::TlsAcceptor;

pub use self::build::bound_hosts;
use self::listen::{Accepted, Listener};
use crate::{
    admin, ca,
    config::{self, Config, Diagnostics, Listen, Place, Programs, Variables},
    env::Env,
    proxy::{Proxy, Stop, World},
    session,
    store::{self, SessionId, Store},
    upstream::{self, Total, Upstream, roots},
};

/// A proxy that is ready to run.
pub struct Server {
    proxy: Arc<Proxy>,
    listeners: Vec<Listener>,
    /// TLS to the proxy itself.
    tls: Option<TlsAcceptor>,
    admin: Option<admin::Bound>,
    health: Option<admin::Bound>,
    reloader: Arc<Reloader>,
}

/// What is needed to read the configuration again.
struct Reloader {
    place: Place,
    variables: Variables,
    config: Mutex<Config>,
    store: Store,
    upstream: Upstream,
    env: Env,
    proxy: Arc<Proxy>,
    /// One reload at a time.
    turn: tokio::sync::Mutex<()>,
}

/// How a server differs from what its configuration says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Listen on a port of 127.0.0.1 that the system chooses, and have no admin side: a proxy for one command.
    pub private: bool,
}

/// Why a proxy does not start or a configuration is not taken up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Config(Diagnostics),
    #[error("cannot listen on {0}")]
    Bind(Listen, #[source] io::Error),
    #[error("the CA cannot be used")]
    Ca(#[source] ca::Error),
    #[error("the roots for upstreams cannot be loaded")]
    Roots(#[source] roots::Error),
    #[error("the store cannot be opened")]
    Store(#[source] store::Error),
    #[error("the store's key cannot be read")]
    StoreKey(#[source] config::source::Error),
    #[error("the upstream side cannot be set up")]
    Upstream(#[source] upstream::Error),
    #[error("the sessions cannot be opened")]
    Sessions(#[source] session::Error),
    #[error("TLS to the proxy cannot be set up")]
    Tls(#[from] tls::Error),
    #[error("the admin side cannot be set up")]
    Admin(#[source] admin::Error),
}

// === impl Server ===

impl Server {
    /// Reads the configuration, opens what it names, and binds. Nothing is bound if anything is wrong.
    pub async fn start(
        place: Place,
        variables: Variables,
        options: &Options,
    ) -> Result<Self, Error> {
        let env = Env::real();
        let loaded = config::load(&place, &variables).map_err(Error::Config)?;
        let mut config = loaded.config.clone();
        let store = build::store(&config, &variables)?;
        config = resolve(loaded, &variables, &store).await?;
        if options.private {
            config.listen = vec![Listen::Tcp(([127, 0, 0, 1], 0).into())];
            config.admin = None;
            config.health = None;
            config
                .clients
                .iter_mut()
                .for_each(|client| client.port = None);
        }
        let ca = build::ca(&config, &env)?;
        let tls = config
            .listen_tls
            .as_ref()
            .filter(|_| !options.private)
            .map(tls::acceptor)
            .transpose()?;
        raise_file_limit(config.limits.connections);

        let mut listeners = Vec::new();
        for (listen, client) in build::listeners(&config) {
            let bound = Listener::bind(&listen, client).await;
            listeners.push(bound.map_err(|e| Error::Bind(listen, e))?);
        }
        let admin = admin::Bound::admin(&config).await.map_err(Error::Admin)?;
        let health = admin::Bound::health(&config).await.map_err(Error::Admin)?;

        let addresses = listeners.iter().map(Listener::address);
        let sides = [&admin, &health]
            .into_iter()
            .flatten()
            .map(admin::Bound::address);
        let ours: Vec<Listen> = addresses.chain(sides).collect();
        let upstream = build::upstream(&config, &variables, &ca, &ours)?;
        let world = build::world(&config, &store, &upstream, &env, None).await?;
        let proxy = Arc::new(Proxy {
            world: ArcSwap::from_pointee(world),
            ca,
            upstream: upstream.clone(),
            limits: config.limits.clone(),
            kept: Total::new(config.limits.replay_total),
            stop: Stop::default(),
        });
        let reloader = Arc::new(Reloader {
            place,
            variables,
            config: Mutex::new(config),
            store,
            upstream,
            env,
            proxy: proxy.clone(),
            turn: tokio::sync::Mutex::default(),
        });
        Ok(Self {
            proxy,
            listeners,
            tls,
            admin,
            health,
            reloader,
        })
    }

    /// Returns where clients connect to.
    pub fn addresses(&self) -> Vec<Listen> {
        self.listeners.iter().map(Listener::address).collect()
    }

    /// Returns where the admin side listens.
    pub fn admin_address(&self) -> Option<Listen> {
        self.admin.as_ref().map(admin::Bound::address)
    }

    /// Returns the CA's certificate file.
    pub fn ca_file(&self) -> PathBuf {
        self.reloader
            .config
            .lock()
            .expect("no panic while the configuration is held")
            .ca
            .dir
            .join("ca.pem")
    }

    /// Returns a handle with which the configuration is read again.
    pub fn reload_handle(&self) -> admin::Reload {
        let reloader = self.reloader.clone();
        Arc::new(move || {
            let reloader = reloader.clone();
            Box::pin(async move { reloader.reload().await.map_err(|error| error.to_string()) })
        })
    }

    /// Accepts connections until `end`, then finishes what is under way, within the limit, and stops.
    pub async fn run(self, end: impl Future<Output = ()>) -> Result<(), Error> {
        let reload = self.reload_handle();
        let Self {
            proxy,
            listeners,
            tls,
            admin,
            health,
            reloader,
        } = self;
        let Stop {
            drain,
            now,
            tasks,
            draining,
        } = proxy.stop.clone();
        let connections = Arc::new(Semaphore::new(proxy.limits.connections));
        for listener in listeners {
            let (proxy, connections, drain) = (proxy.clone(), connections.clone(), drain.clone());
            let tls = tls.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = accept(listener, tls, proxy, connections) => {}
                    () = drain.cancelled() => {}
                }
            });
        }
        let state = admin::State::new(proxy.clone(), reload);
        let mut sides = 0;
        for side in [admin, health].into_iter().flatten() {
            sides += 1;
            tasks.spawn(side.serve(state.clone(), now.clone()));
        }
        let sweep = {
            let upstream = proxy.upstream.clone();
            tokio::spawn(async move { upstream.sweep().await })
        };

        end.await;
        draining.store(true, Ordering::Release);
        drain.cancel();
        tasks.close();
        sweep.abort();
        // The admin side goes on answering probes while connections end, and is cut with the rest.
        let connections_done = async {
            while tasks.len() > sides {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        if timeout(proxy.limits.drain, connections_done).await.is_err() {
            tracing::warn!(
                connections = tasks.len(),
                "the drain limit is over: what is under way is cut"
            );
        }
        now.cancel();
        // A task that does not end by itself must not hold the process.
        drop(timeout(std::time::Duration::from_secs(2), tasks.wait()).await);
        let world: Arc<World> = proxy.world.load_full();
        world.sessions.close().await;
        reloader.store.close().await.map_err(Error::Store)
    }
}

async fn accept(
    listener: Listener,
    tls: Option<TlsAcceptor>,
    proxy: Arc<Proxy>,
    connections: Arc<Semaphore>,
) {
    loop {
        let (accepted, arrival) = listener.accept().await;
        let Ok(permit) = connections.clone().acquire_owned().await else {
            return;
        };
        let (proxy, tasks, tls) = (proxy.clone(), proxy.stop.tasks.clone(), tls.clone());
        tasks.spawn(async move {
            match (accepted, tls) {
                (Accepted::Tcp(io), Some(tls)) => {
                    match timeout(proxy.limits.handshake, tls.accept(io)).await {
                        Ok(Ok(io)) => proxy.serve(io, arrival).await,
                        Ok(Err(error)) => tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "no TLS from the client"
                        ),
                        Err(_) => tracing::debug!("the client does not finish the TLS handshake"),
                    }
                }
                (Accepted::Tcp(io), None) => proxy.serve(io, arrival).await,
                (Accepted::Unix(io), _) => proxy.serve(io, arrival).await,
            }
            drop(permit);
        });
    }
}

/// Raises the limit of open files so that all connections fit: one to the client and one to the upstream each.
fn raise_file_limit(connections: usize) {
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

/// Reads the secrets; a source that cannot be read is a warning if the store has what it would give.
async fn resolve(
    loaded: config::Loaded,
    variables: &Variables,
    store: &Store,
) -> Result<Config, Error> {
    let mut held = std::collections::HashSet::new();
    for id in store.list().await.map_err(Error::Store)? {
        let SessionId { name, .. } = &id;
        if let Some(stored) = store.load(&id).await.map_err(Error::Store)? {
            held.extend(
                stored
                    .grant
                    .fields
                    .keys()
                    .map(|field| (name.to_string(), field.clone())),
            );
        }
    }
    let variables = variables.clone();
    let resolved = tokio::task::spawn_blocking(move || {
        loaded.resolve_sources(&variables, Programs::Run, |session, field| {
            held.contains(&(session.to_owned(), field.to_owned()))
        })
    });
    let (config, warnings) = resolved
        .await
        .expect("reading sources does not panic")
        .map_err(Error::Config)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}

// === impl Reloader ===

impl Reloader {
    /// Takes up a changed configuration, or refuses it whole. Returns the changed keys that need a restart.
    async fn reload(&self) -> Result<Vec<&'static str>, Error> {
        let _turn = self.turn.lock().await;
        let loaded = config::load(&self.place, &self.variables).map_err(Error::Config)?;
        let config = resolve(loaded, &self.variables, &self.store).await?;
        let before = self.proxy.world.load_full();
        let (store, upstream) = (&self.store, &self.upstream);
        let world = build::world(&config, store, upstream, &self.env, Some(&before)).await?;
        let world = Arc::new(world);
        let before = self.proxy.world.swap(Arc::clone(&world));
        before.sessions.retire(&world.sessions);
        let mut current = self
            .config
            .lock()
            .expect("no panic while the configuration is held");
        let restart = current.needs_restart(&config);
        *current = config;
        Ok(restart)
    }
}
