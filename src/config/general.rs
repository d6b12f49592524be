//! The plain tables: `[proxy]`, `[ca]`, `[store]`, `[log]`, `[clients.NAME]`; and what must agree across them.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use super::{
    Ca, Client, Config, Listen, ListenTls, LocalUsers, Log, LogFormat, ProxyScheme, Store,
    StoreUrl, Unmatched, UpstreamProxy, Variables, limits,
    read::{At, Keys, OneOrMany, Read},
    source::{Pending, Slot, Source},
    unsupported,
};
use crate::origin::{Authority, Host};

const LISTEN: &str = "write an address and a port, \"127.0.0.1:8080\", or a socket, \"unix:PATH\"";

/// Reads the whole file.
pub(super) fn read(
    keys: &Keys<'_>,
    file: PathBuf,
    variables: &Variables,
    pending: &mut Vec<Pending>,
) -> Option<Config> {
    let clients = clients(keys, pending);
    let proxy = section(keys, "proxy", |keys| proxy(keys, &clients))?;
    let ca = section(keys, "ca", |keys| Ca {
        dir: keys.or("dir", path(keys, "certs")),
        constrain: false,
    })?;
    let store = section(keys, "store", |keys| Store {
        url: keys
            .at("url")
            .and_then(|at| store_url(&at, &proxy.state))
            .unwrap_or_else(|| StoreUrl::Sqlite(proxy.state.join("staysigned.db"))),
        key: keys.or("key", Source::File(path(keys, "certs/store.key"))),
    })?;
    let log = section(keys, "log", |keys| log(keys, variables))?;
    let limits = section(keys, "limits", limits::read)?;
    let recipes = Vec::new();
    let source_variables = source_variables(&store.key, pending);
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

fn store_url(at: &At<'_>, state: &std::path::Path) -> Option<StoreUrl> {
    const HINT: &str = "\"sqlite:PATH\" or \"memory:\"";
    let text = at.text()?;
    if text == "memory:" {
        return Some(StoreUrl::Memory);
    }
    if let Some(path) = text.strip_prefix("sqlite:")
        && !path.is_empty()
    {
        return Some(StoreUrl::Sqlite(state.join(path)));
    }
    if unsupported::STORES
        .iter()
        .any(|scheme| text.starts_with(scheme))
    {
        at.fault("shared stores are not supported yet", HINT);
    } else {
        at.fault("not a store", HINT);
    }
    None
}

fn log(keys: &Keys<'_>, variables: &Variables) -> Log {
    let mut level = "info".to_owned();
    if let Some(at) = keys.at("level")
        && let Some(text) = at.text()
    {
        let parsed = tracing_subscriber::EnvFilter::builder().parse(text);
        if text.trim().is_empty() || parsed.is_err() {
            at.fault(
                "not a log level",
                "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"; for parts: \"info,staysigned::upstream=debug\"",
            );
        }
        level = text.to_owned();
    }
    if let Some(text) = variables.text("STAYSIGNED_LOG") {
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

fn clients(keys: &Keys<'_>, pending: &mut Vec<Pending>) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::new();
    let Some(at) = keys.at("clients") else {
        return clients;
    };
    for (entry, at) in at.entries().unwrap_or_default() {
        if !is_name(&entry.key) {
            at.fault_at(entry.key_span, "not a name for a client", NAME);
        }
        at.table(|keys| client(keys, &entry.key, &mut clients, pending));
    }
    clients
}

fn client(keys: &Keys<'_>, name: &str, clients: &mut Vec<Client>, pending: &mut Vec<Pending>) {
    const WAYS: &str =
        "known by a password, a port of her own, or a user id: password = \"env:NAME\"";
    let client = Client {
        name: Arc::from(name),
        password: None,
        port: keys.get("port"),
        uid: keys
            .at("uid")
            .and_then(|at| at.number(0, u32::MAX.into()))
            .map(|uid| uid as u32),
    };
    if let Some(at) = keys.at("password")
        && let Some(source) = at.get()
    {
        pending.push(Pending {
            slot: Slot::Password(clients.len()),
            source,
            span: at.node.span,
            path: at.path.clone(),
        });
    }
    if !["password", "port", "uid"].iter().any(|key| keys.has(key)) {
        keys.at.fault("nothing tells who this client is", WAYS);
    }
    for other in clients.iter() {
        if client.port.is_some() && client.port == other.port {
            let message = format!("the port is that of client {} already", other.name);
            keys.fault("port", message, "each client needs one of its own");
        }
        if client.uid.is_some() && client.uid == other.uid {
            let message = format!("the user is client {} already", other.name);
            keys.fault("uid", message, "a user can be one client only");
        }
    }
    clients.push(client);
}

pub(super) const NAME: &str = "a name has letters, digits, `-` and `_`, and at most 64 of them";

pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn source_variables(key: &Source, pending: &[Pending]) -> Vec<String> {
    let mut names: Vec<String> = pending
        .iter()
        .map(|pending| &pending.source)
        .chain([key])
        .filter_map(|source| match source {
            Source::Env(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

// === impl Read ===

impl Read for Listen {
    fn read(at: &At<'_>) -> Option<Self> {
        let text = at.text()?;
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                at.fault("the socket has no path", LISTEN);
                return None;
            }
            return Some(Self::Unix(at.faults.folder.borrow().join(path)));
        }
        if let Ok(addr) = text.parse() {
            return Some(Self::Tcp(addr));
        }
        let (message, hint) = match text.rsplit_once(':') {
            Some(("", port)) => (
                "the address is missing",
                format!("write \"127.0.0.1:{port}\""),
            ),
            Some(("localhost", port)) => (
                "an address is needed, not a name",
                format!("write \"127.0.0.1:{port}\""),
            ),
            None if text.parse::<IpAddr>().is_ok() => ("the port is missing", LISTEN.to_owned()),
            _ => ("not an address and port", LISTEN.to_owned()),
        };
        at.fault(message, hint);
        None
    }
}

impl Read for UpstreamProxy {
    fn read(at: &At<'_>) -> Option<Self> {
        const HINT: &str = "\"env\", \"none\", or a URL as \"http://proxy.example:3128\" or \"socks5://127.0.0.1:1080\"";
        let text = at.text()?;
        match text {
            "env" => return Some(Self::Env),
            "none" => return Some(Self::None),
            _ => {}
        }
        let (scheme, rest) = text.split_once("://").unwrap_or((text, ""));
        let (scheme, default) = match scheme {
            "http" => (ProxyScheme::Http, 80),
            "https" => (ProxyScheme::Https, 443),
            "socks5" | "socks5h" => (ProxyScheme::Socks5, 1080),
            _ => {
                at.fault("not an upstream proxy", HINT);
                return None;
            }
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            at.fault(
                "a password does not stand in the configuration itself",
                "use \"env\" and set HTTPS_PROXY with the password for this process",
            );
            return None;
        }
        match authority.parse::<Authority>() {
            Ok(Authority { host, port }) => {
                let port = Some(port.unwrap_or(default));
                Some(Self::Through(scheme, Authority { host, port }))
            }
            Err(error) => {
                at.fault(format!("not the address of a proxy: {error}"), HINT);
                None
            }
        }
    }
}
