//! The plain tables: `[proxy]`, `[ca]`, `[store]`, `[log]`, `[clients.NAME]`; and what must agree across them.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Ca, Client, Config, Listen, ListenTls, LocalUsers, Log, LogFormat, Store, Unmatched,
    UpstreamProxy, Variables,
    address::LISTEN,
    clients,
    diagnose::Diagnostic,
    limits,
    read::{At, Keys},
    scalar::OneOrMany,
    session,
    source::{Pending, Slot, Source},
    tree::Value,
};
use crate::{
    origin::{Authority, Host},
    store,
};

/// Reads the whole file.
pub(super) fn read(
    keys: &Keys<'_>,
    file: PathBuf,
    variables: &Variables,
    pending: &mut Vec<Pending>,
) -> Option<Config> {
    keys.at("notify");
    let clients = clients::read(keys, pending);
    let proxy = section(keys, "proxy", |keys| proxy(keys, &clients))?;
    let ca = section(keys, "ca", |keys| Ca {
        dir: keys.or("dir", path(keys, "certs")),
        constrain: keys.or("constrain", false),
    })?;
    let store = section(keys, "store", |keys| {
        let url = keys.at("url").and_then(|at| store_url(&at, &proxy.state));
        Store {
            url: url.unwrap_or_else(|| store::Kind::Sqlite(proxy.state.join("staysigned.db"))),
            key: store_key(keys, pending),
            rotate: rotate(keys),
        }
    })?;
    let log = section(keys, "log", |keys| log(keys, variables))?;
    let limits = section(keys, "limits", limits::read)?;
    let sessions = session::read(keys, &clients, pending);
    session::conflicts(&sessions, keys.at.faults);
    let recipes = sessions.recipes;
    let source_variables = source_variables(pending);
    let ProxyKeys {
        listen,
        listen_tls,
        admin,
        health,
        state,
        unmatched,
        upstream_proxy,
        extra_roots,
        resolve,
        local_users,
    } = proxy;
    Some(Config {
        file,
        listen,
        listen_tls,
        admin,
        health,
        state,
        unmatched,
        upstream_proxy,
        extra_roots,
        resolve,
        local_users,
        ca,
        store,
        log,
        clients,
        limits,
        recipes,
        source_variables,
    })
}

/// The keys of `[proxy]`.
struct ProxyKeys {
    listen: Vec<Listen>,
    listen_tls: Option<ListenTls>,
    admin: Option<Listen>,
    health: Option<Listen>,
    state: PathBuf,
    unmatched: Unmatched,
    upstream_proxy: UpstreamProxy,
    extra_roots: Vec<PathBuf>,
    resolve: BTreeMap<(Host, u16), SocketAddr>,
    local_users: LocalUsers,
}

/// Reads a table that may be missing: then all its keys have their defaults.
fn section<'a, T>(
    keys: &Keys<'a>,
    name: &'static str,
    read: impl FnOnce(&Keys<'a>) -> T,
) -> Option<T> {
    match keys.at(name) {
        Some(at) => at.table(read),
        None => Some(keys.absent(name, read)),
    }
}

fn path(keys: &Keys<'_>, relative: &str) -> PathBuf {
    keys.at.faults.folder.borrow().join(relative)
}

fn proxy(keys: &Keys<'_>, clients: &[Client]) -> ProxyKeys {
    let mut taken = HashMap::new();
    let mut listen = Vec::new();
    if let Some(at) = keys.at("listen") {
        if at.is_empty_list() {
            at.fault("nothing to listen on", LISTEN);
        }
        for at in at.one_or_many() {
            let Some(address) = at.get::<Listen>() else {
                continue;
            };
            if !address.is_local() && clients.is_empty() {
                at.fault(
                    "other machines could use the proxy without a password",
                    "add [clients.NAME] with a password, or listen on 127.0.0.1",
                );
            }
            once(&at, &address, "listen", &mut taken);
            listen.push(address);
        }
    } else {
        listen.push(Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 8080))));
    }
    let admin = match keys.at("admin") {
        Some(at) if at.node.value.is_text("off") => None,
        Some(at) => at.get::<Listen>().inspect(|address| {
            if !address.is_local() {
                at.fault(
                    "the admin side is for this machine only",
                    "a loopback address or \"unix:PATH\"; probes and scrapers from elsewhere have `health`",
                );
            }
            once(&at, address, "admin", &mut taken);
        }),
        None => Some(Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 8081)))),
    };
    let health = keys.at("health").and_then(|at| {
        let address = at.get::<Listen>()?;
        once(&at, &address, "health", &mut taken);
        Some(address)
    });
    ProxyKeys {
        listen,
        listen_tls: keys.at("listen_tls").and_then(|at| at.table(listen_tls)?),
        admin,
        health,
        state: keys.or("state", path(keys, "")),
        unmatched: keys.choice(
            "unmatched",
            &[("tunnel", Unmatched::Tunnel), ("deny", Unmatched::Deny)],
        ),
        upstream_proxy: keys.or("upstream_proxy", UpstreamProxy::Env),
        extra_roots: keys.or("extra_roots", OneOrMany(Vec::new())).0,
        resolve: keys
            .at("resolve")
            .map(|at| resolve(&at))
            .unwrap_or_default(),
        local_users: keys.choice(
            "local_users",
            &[("self", LocalUsers::Same), ("any", LocalUsers::Any)],
        ),
    }
}

/// Notes an address that two keys claim; port 0 is a new one each time.
fn once(
    at: &At<'_>,
    address: &Listen,
    key: &'static str,
    taken: &mut HashMap<String, &'static str>,
) {
    if matches!(address, Listen::Tcp(addr) if addr.port() == 0) {
        return;
    }
    if let Some(other) = taken.insert(address.to_string(), key) {
        at.fault(
            format!("{address} is taken by `{other}` already"),
            "each listener needs an address of its own",
        );
    }
}

fn listen_tls(keys: &Keys<'_>) -> Option<ListenTls> {
    const HINT: &str = "listen_tls = { cert = \"cert.pem\", key = \"key.pem\" }";
    let cert = keys.need("cert", HINT);
    let key = keys.need("key", HINT);
    Some(ListenTls {
        cert: cert?.get()?,
        key: key?.get()?,
    })
}

fn resolve(at: &At<'_>) -> BTreeMap<(Host, u16), SocketAddr> {
    const HINT: &str = "resolve = { \"api.example.com:443\" = \"127.0.0.1:8443\" }";
    let mut map = BTreeMap::new();
    for (entry, at) in at.entries().unwrap_or_default() {
        let from = match entry.key.parse::<Authority>() {
            Ok(Authority {
                host,
                port: Some(port),
            }) => Some((host, port)),
            Ok(_) => {
                at.fault_at(entry.key_span, "the port is missing", HINT);
                None
            }
            Err(error) => {
                at.fault_at(
                    entry.key_span,
                    format!("not a host and port: {error}"),
                    HINT,
                );
                None
            }
        };
        let to = at.parse::<SocketAddr>("an address and port", HINT);
        if let (Some(from), Some(to)) = (from, to) {
            map.insert(from, to);
        }
    }
    map
}

fn store_key(keys: &Keys<'_>, pending: &mut Vec<Pending>) -> Source {
    let default = Source::File(path(keys, "certs/store.key"));
    let Some(at) = keys.at("key") else {
        return default;
    };
    let Some(source) = at.get::<Source>() else {
        return default;
    };
    pending.push(Pending {
        slot: Slot::StoreKey,
        source: source.clone(),
        span: at.node.span,
        path: at.path,
    });
    source
}

/// Reads how often the key is replaced: only one in a file can be.
fn rotate(keys: &Keys<'_>) -> Option<Duration> {
    const LEAST: Duration = Duration::from_secs(3600);
    let at = keys.at("rotate")?;
    let age: Duration = at.get()?;
    if age < LEAST {
        at.fault("a new key more often than once an hour", "rotate = \"90d\"");
    }
    let elsewhere =
        |at: At<'_>| matches!(&at.node.value, Value::Text(source) if !source.starts_with("file:"));
    if keys.at("key").is_some_and(elsewhere) {
        at.fault(
            "only a key in a file can be replaced by the proxy",
            "leave it out, and use `staysigned key rotate --to SOURCE`",
        );
    }
    Some(age)
}

fn store_url(at: &At<'_>, state: &Path) -> Option<store::Kind> {
    const HINT: &str = "\"sqlite:PATH\" or \"memory:\"";
    match store::Kind::parse(at.text()?, state) {
        Ok(kind) => Some(kind),
        Err(store::BadUrl::NotBuilt(_)) => {
            at.fault("shared stores are not supported yet", HINT);
            None
        }
        Err(error) => {
            at.fault(error.to_string(), HINT);
            None
        }
    }
}

const LEVEL: &str = "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"; for parts: \"info,staysigned::upstream=debug\"";

fn log(keys: &Keys<'_>, variables: &Variables) -> Log {
    let mut level = "info".to_owned();
    if let Some(at) = keys.at("level")
        && let Some(text) = at.text()
    {
        let parsed = tracing_subscriber::EnvFilter::builder().parse(text);
        if text.trim().is_empty() || parsed.is_err() {
            at.fault("not a log level", LEVEL);
        }
        level = text.to_owned();
    }
    if let Some(text) = variables.text("STAYSIGNED_LOG") {
        let parsed = tracing_subscriber::EnvFilter::builder().parse(text);
        if parsed.is_err() {
            let message = "$STAYSIGNED_LOG is not a log level".to_owned();
            keys.at
                .faults
                .push(Diagnostic::without_place("", message, LEVEL.to_owned()));
        }
        level = text.to_owned();
    }
    let formats = [
        ("auto", LogFormat::Auto),
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
    ];
    Log {
        level,
        format: keys.choice("format", &formats),
    }
}

fn source_variables(pending: &[Pending]) -> Vec<String> {
    let mut names: Vec<String> = pending
        .iter()
        .map(|pending| &pending.source)
        .filter_map(|source| match source {
            Source::Env(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}
