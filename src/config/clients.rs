//! `[clients.NAME]`: who uses the proxy, and by what each is known.

use std::sync::Arc;

use super::{
    Client,
    read::Keys,
    source::{Pending, Slot},
};

pub(super) fn read(keys: &Keys<'_>, pending: &mut Vec<Pending>) -> Vec<Client> {
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
            path: at.path,
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
