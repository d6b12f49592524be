//! From a configuration to its parts: roots, store, sessions, clients.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rustls::pki_types::CertificateDer;

use super::Error;
use crate::{
    ca::{self, Ca},
    config::{self, Config, Listen, Variables},
    env::Env,
    proxy::{Client, Clients, LocalUsers, Unmatched, World},
    rule::HostPattern,
    session::{Context, Keeping, Sessions},
    store::{self, Store},
    upstream::{
        self, Upstream,
        egress::Egress,
        roots::{Inherited, Roots},
    },
};

/// Opens the CA in this folder, or makes it.
pub fn ca(config: &Config, folder: &Path, env: &Env) -> Result<Ca, Error> {
    let hosts = bound_hosts(config);
    let params = ca::Params {
        folder,
        constrain: config.ca.constrain.then_some(&hosts[..]),
        leaves: config.limits.leaves,
    };
    Ca::open(&params, env.clone()).map_err(Error::Ca)
}

/// Returns the hosts that are intercepted: what a constrained CA is good for.
pub fn bound_hosts(config: &Config) -> Vec<HostPattern> {
    let targets = config.recipes.iter().flat_map(|recipe| {
        let binds = recipe.bind.iter().map(|bind| &bind.target);
        binds
            .chain(recipe.captures.iter().map(|capture| &capture.target))
            .chain(&recipe.blocks)
    });
    targets.map(|target| target.host.clone()).collect()
}

/// Opens the store with its key.
pub fn store(config: &Config, variables: &Variables) -> Result<Store, Error> {
    let store = match &config.store.url {
        store::Kind::Memory => store::Config::memory(),
        store::Kind::Sqlite(path) => {
            let key = match &config.store.key {
                config::Source::File(path) => store::key::Source::File(path.clone()),
                source => {
                    let text = source.read(variables).map_err(Error::StoreKey)?;
                    store::key::Source::Text {
                        place: format!("{source:?}"),
                        text,
                    }
                }
            };
            store::Config::sqlite(path, key)
        }
    };
    let store = store::Config {
        suspended: config.limits.lease,
        ..store
    };
    Store::open(store).map_err(Error::Store)
}

/// Makes the upstream side. Our own CA is no root for it, whatever the environment says, and a proxy variable that
/// leads to what listens here, or would by the configuration, counts for nothing.
pub fn upstream(
    config: &Config,
    variables: &Variables,
    own: &[CertificateDer<'static>],
    ours: &[Listen],
    configured: &[Listen],
) -> Result<Upstream, Error> {
    let params = upstream::roots::Params {
        inherited: Inherited::from_env(),
        extra: &config.extra_roots,
        own,
        whole: false,
    };
    let roots = Roots::load(&params).map_err(Error::Roots)?;
    for warning in &roots.warnings {
        tracing::warn!("{warning}");
    }
    let addresses = |listen: &[Listen]| -> Vec<SocketAddr> {
        let tcp = listen.iter().filter_map(|listen| match listen {
            Listen::Tcp(address) => Some(*address),
            Listen::Unix(_) => None,
        });
        tcp.collect()
    };
    let ours = addresses(ours);
    let leads_back = [ours.clone(), addresses(configured)].concat();
    let config = upstream::Config {
        roots: roots.store,
        resolve: config
            .resolve
            .iter()
            .map(|(name, address)| (name.clone(), *address))
            .collect(),
        egress: egress(config, variables, &leads_back),
        ours,
        limits: config.limits.clone(),
    };
    Upstream::new(config).map_err(Error::Upstream)
}

/// Returns the way out; a proxy variable that leads back to us is passed over.
fn egress(config: &Config, variables: &Variables, ours: &[SocketAddr]) -> Egress {
    let text = |names: &[&str]| {
        let mut values = names
            .iter()
            .filter_map(|name| variables.get(name)?.to_str());
        values
            .find(|value| !value.is_empty())
            .unwrap_or("")
            .to_owned()
    };
    match &config.upstream_proxy {
        config::UpstreamProxy::None => Egress::direct(),
        config::UpstreamProxy::Through(scheme, authority) => {
            let scheme = match scheme {
                config::ProxyScheme::Http => "http",
                config::ProxyScheme::Https => "https",
                config::ProxyScheme::Socks5 => "socks5",
            };
            let url = format!("{scheme}://{authority}");
            Egress::new(&url, &url, "")
        }
        config::UpstreamProxy::Env => {
            let all = text(&["all_proxy", "ALL_PROXY"]);
            let or_all = |value: String| if value.is_empty() { all.clone() } else { value };
            let not_us = |url: String| {
                if leads_to_us(&url, ours) {
                    tracing::warn!(
                        "a proxy variable of the environment leads to this proxy itself and is passed over"
                    );
                    return String::new();
                }
                url
            };
            // HTTP_PROXY in capitals may be a request's own field in a CGI (httpoxy): lower case alone counts.
            let http = not_us(or_all(text(&["http_proxy"])));
            let https = not_us(or_all(text(&["https_proxy", "HTTPS_PROXY"])));
            Egress::new(&http, &https, &text(&["no_proxy", "NO_PROXY"]))
        }
    }
}

fn leads_to_us(url: &str, ours: &[SocketAddr]) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else {
        return false;
    };
    let Some(port) = uri.port_u16() else {
        return false;
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    local && ours.iter().any(|own| own.port() == port)
}

/// Makes what a reload replaces.
///
/// `before` is what it replaces.
pub async fn world(
    config: &Config,
    store: &Store,
    upstream: &Upstream,
    env: &Env,
    before: Option<&Arc<World>>,
) -> Result<World, Error> {
    let context = Context {
        store: store.clone(),
        upstream: upstream.clone(),
        env: env.clone(),
        limits: config.limits.clone(),
        before: before.map(|world| world.sessions.clone()),
        keeping: Keeping::Kept,
    };
    let sessions = Sessions::open(config.recipes.clone(), context)
        .await
        .map_err(Error::Sessions)?;
    Ok(World {
        sessions,
        clients: clients(config),
        unmatched: unmatched(config.unmatched),
    })
}

fn clients(config: &Config) -> Clients {
    let named = config.clients.iter().map(|client| {
        let config::Client {
            name,
            password,
            port: _,
            uid,
        } = client;
        Client {
            name: name.clone(),
            password: password.clone(),
            uid: *uid,
        }
    });
    let local_users = match config.local_users {
        config::LocalUsers::Same => LocalUsers::Own,
        config::LocalUsers::Any => LocalUsers::Any,
    };
    Clients {
        named: named.collect(),
        local_users,
    }
}

fn unmatched(unmatched: config::Unmatched) -> Unmatched {
    match unmatched {
        config::Unmatched::Tunnel => Unmatched::Tunnel,
        config::Unmatched::Deny => Unmatched::Deny,
    }
}

/// Returns the listeners of a configuration, the clients' own included.
pub fn listeners(config: &Config) -> Vec<(Listen, Option<Arc<str>>)> {
    let shared = config.listen.iter().map(|listen| (listen.clone(), None));
    let own = config.clients.iter().filter_map(|client| {
        let address = SocketAddr::from(([127, 0, 0, 1], client.port?));
        Some((Listen::Tcp(address), Some(client.name.clone())))
    });
    shared.chain(own).collect()
}
