//! Runs the proxy: binds, accepts, reloads, drains.

mod accept;
mod build;
mod error;
mod listen;
mod offline;
mod rekey;
mod reload;
mod tls;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{sync::Semaphore, time::timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use self::{
    accept::{accept, accept_aside, raise_file_limit},
    listen::Listener,
    reload::{Reloader, resolve},
};
pub use self::{
    build::bound_hosts,
    error::Error,
    offline::{Held, Offline, Secrets, make_store, sign_in, stored_fields},
    rekey::replace_key,
};
use crate::{
    admin::{self, Admin, Facts, Side, token::Token},
    ca::Root,
    config::{self, Config, Listen, Place, Variables},
    env::Env,
    proxy::{Proxy, Stop, World},
    secret::Secret,
    session::Sessions,
    upstream::Total,
};

/// A proxy that is ready to run.
pub struct Server {
    proxy: Arc<Proxy>,
    listeners: Vec<Listener>,
    /// TLS to the proxy itself.
    tls: Option<TlsAcceptor>,
    sides: Vec<(Listener, Side)>,
    admin: Option<Admin>,
    /// The file that says where the admin side is.
    place: Option<admin::place::Written>,
    ca_file: PathBuf,
    reloader: Arc<Reloader>,
}

/// How a server differs from what its configuration says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A proxy for one command: it listens on a port of 127.0.0.1 that the system chooses, and has no admin side.
    pub private: Option<Private>,
}

/// What a private proxy is.
#[derive(Clone, Debug, Default)]
pub struct Private {
    /// The one client that it serves, where there are clients: by the user id, or by a password for this run.
    pub client: Option<(Arc<str>, Secret)>,
}

// === impl Private ===

impl Private {
    fn apply(&self, config: &mut Config) {
        /// What the command left behind is not waited for long: its caller waits for us.
        const DRAIN: Duration = Duration::from_secs(2);
        config.listen = vec![Listen::Tcp(([127, 0, 0, 1], 0).into())];
        config.admin = None;
        config.health = None;
        config.limits.drain = config.limits.drain.min(DRAIN);
        let only = self.client.as_ref().map(|(name, password)| config::Client {
            name: name.clone(),
            password: Some(password.clone()),
            port: None,
            uid: Some(rustix::process::getuid().as_raw()),
        });
        config.clients = only.into_iter().collect();
        for recipe in &mut config.recipes {
            // A session that the command does not use is not its business.
            let idle = &mut Arc::make_mut(recipe).refresh.idle;
            *idle = idle.or(Some(Duration::MAX));
        }
    }
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
        // A variable may still lead to where the proxy of everybody listens.
        let configured = config.listen.clone();
        if let Some(private) = &options.private {
            private.apply(&mut config);
        }
        let ca = build::ca(&config, &config.ca.dir, &env)?;
        let tls = config
            .listen_tls
            .as_ref()
            .filter(|_| options.private.is_none())
            .map(tls::acceptor)
            .transpose()?;
        // A child inherits the limit, and some tools are slow or break with a high one.
        if options.private.is_none() {
            raise_file_limit(config.limits.connections);
        }
        // Before anything is bound: whoever sees the port open finds it.
        let token = match &config.admin {
            Some(_) => admin::token(&config.state).map_err(Error::Admin)?,
            None => Token::draw(),
        };

        let mut listeners = Vec::new();
        for (listen, client) in build::listeners(&config) {
            let bound = Listener::bind(&listen, client).await;
            listeners.push(bound.map_err(|e| Error::Bind(listen, e))?);
        }
        let mut sides = Vec::new();
        for (listen, side) in [(&config.admin, Side::Admin), (&config.health, Side::Health)] {
            if let Some(listen) = listen {
                let bound = Listener::bind(listen, None).await;
                let bound = bound.map_err(|e| Error::Bind(listen.clone(), e))?;
                sides.push((bound, side));
            }
        }
        let written = match (&config.admin, sides.first()) {
            (Some(admin), Some((bound, _))) => {
                let written = admin::place::write(admin, &bound.address(), &config.state);
                written.map_err(|e| Error::Admin(admin::Error::Place(config.state.clone(), e)))?
            }
            _ => None,
        };
        let listen: Vec<Listen> = listeners.iter().map(Listener::address).collect();
        let aside = sides.iter().map(|(listener, _)| listener.address());
        let ours: Vec<Listen> = listen.iter().cloned().chain(aside).collect();
        let own = Root::own(&config.ca.dir);
        let upstream = build::upstream(&config, &variables, &own, &ours, &configured)?;
        let world = build::world(&config, &store, &upstream, &env, None).await?;
        let proxy = Arc::new(Proxy {
            world: ArcSwap::from_pointee(world),
            ca: ArcSwap::from_pointee(ca),
            upstream: upstream.clone(),
            limits: config.limits.clone(),
            kept: Total::new(config.limits.replay_total),
            added: Default::default(),
            alone: Default::default(),
            stop: Stop::default(),
        });
        let facts = Facts {
            listen,
            admin: config
                .admin
                .as_ref()
                .and_then(|_| Some(sides.first()?.0.address())),
            config: config.file.clone(),
            state: config.state.clone(),
            ca: Root::file(&config.ca.dir),
        };
        let reloader = Arc::new(Reloader {
            place,
            variables,
            rotate: Mutex::new(config.store.rotate),
            started: config,
            store,
            upstream,
            env,
            proxy: proxy.clone(),
            turn: tokio::sync::Mutex::default(),
        });
        let ca_file = facts.ca.clone();
        let admin =
            (!sides.is_empty()).then(|| Admin::new(proxy.clone(), facts, token, reloader.handle()));
        Ok(Self {
            proxy,
            listeners,
            tls,
            sides,
            admin,
            place: written,
            ca_file,
            reloader,
        })
    }

    /// Returns where clients connect to.
    pub fn addresses(&self) -> Vec<Listen> {
        self.listeners.iter().map(Listener::address).collect()
    }

    /// Returns where the admin side listens.
    pub fn admin_address(&self) -> Option<Listen> {
        let mut sides = self.sides.iter();
        let (listener, _) = sides.find(|(_, side)| *side == Side::Admin)?;
        Some(listener.address())
    }

    /// Returns the CA's certificate file.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Returns the sessions as they are now; a reload replaces them.
    pub fn sessions(&self) -> Arc<Sessions> {
        self.proxy.world.load().sessions.clone()
    }

    /// Returns a handle with which the configuration is read again.
    pub fn reload_handle(&self) -> admin::Reload {
        self.reloader.handle()
    }

    /// Accepts connections until `end`, then finishes what is under way, within the limit, and stops.
    pub async fn run(self, end: impl Future<Output = ()>) -> Result<(), Error> {
        let Self {
            proxy,
            listeners,
            tls,
            sides,
            admin,
            place,
            ca_file: _,
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
            let (proxy, connections, tls) = (proxy.clone(), connections.clone(), tls.clone());
            tasks.spawn(accept(listener, tls, proxy, connections));
        }
        // The admin side goes on answering while connections end, and is cut with the rest.
        let aside = TaskTracker::new();
        for (listener, side) in sides {
            if let Some(admin) = &admin {
                let (admin, now) = (admin.clone(), now.clone());
                aside.spawn(accept_aside(listener, side, admin, aside.clone(), now));
            }
        }
        let sweep = {
            let upstream = proxy.upstream.clone();
            tokio::spawn(async move { upstream.sweep().await })
        };

        tasks.spawn(rekey::rotate(reloader.clone(), drain.clone()));

        end.await;
        draining.store(true, Ordering::Release);
        drain.cancel();
        tasks.close();
        sweep.abort();
        aside.close();
        if timeout(proxy.limits.drain, tasks.wait()).await.is_err() {
            tracing::warn!(
                connections = tasks.len(),
                "the drain limit is over: what is under way is cut"
            );
        }
        now.cancel();
        // A task that does not end by itself must not hold the process.
        let all = async { tokio::join!(tasks.wait(), aside.wait()) };
        drop(timeout(Duration::from_secs(2), all).await);
        let world: Arc<World> = proxy.world.load_full();
        world.sessions.close().await;
        drop(place);
        reloader.store.close().await.map_err(Error::Store)
    }
}
