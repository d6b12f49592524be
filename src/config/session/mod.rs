//! `[session.NAME]`: merged with its provider, read key by key, and checked as a whole.

mod export;
mod import;
mod inject;
mod login;
mod names;
mod refresh;
mod rejected;
mod sign;
mod steps;
mod target;
mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use http::{HeaderMap, Method};

pub(super) use self::values::{Use, plain};
use super::{
    Client, clients,
    diagnose::Faults,
    provider,
    read::{At, Keys},
    source::{Pending, Slot, Source},
    tree::{Span, Value},
};
use crate::rule::{
    Bind, Concurrency, OnDead, Presigned, Recipe, RefreshKind, Url, matcher::Matcher,
};

/// The recipes, and where each of their bindings stands.
pub(super) struct Sessions {
    pub(super) recipes: Vec<Arc<Recipe>>,
    pub(super) binds: Vec<Vec<(Span, String)>>,
}

/// Reads every session.
pub(super) fn read(keys: &Keys<'_>, clients: &[Client], pending: &mut Vec<Pending>) -> Sessions {
    let mut sessions = Sessions {
        recipes: Vec::new(),
        binds: Vec::new(),
    };
    let Some(at) = keys.at("session") else {
        return sessions;
    };
    for (entry, at) in at.entries().unwrap_or_default() {
        if !clients::is_name(&entry.key) {
            at.fault_at(entry.key_span, "not a name for a session", clients::NAME);
        }
        let Some(prepared) = provider::prepare(&at) else {
            continue;
        };
        at.faults.uses.take();
        let at = At {
            node: &prepared.node,
            ..at
        };
        let mut places = Vec::new();
        let index = sessions.recipes.len();
        let recipe = at.table(|keys| {
            let mut recipe = session(keys, clients, &mut places);
            recipe.name = Arc::from(entry.key.as_str());
            recipe.provider = prepared.provider.clone();
            let secrets = secrets(keys, index, pending);
            reach(keys, &recipe);
            export::check(keys, &recipe);
            if let RefreshKind::Import(_) = recipe.refresh.kind {
                import::trusted(keys);
            }
            names::check(keys, &mut recipe, &secrets, &at.faults.uses.take());
            recipe
        });
        if let Some(recipe) = recipe {
            sessions.recipes.push(Arc::new(recipe));
            sessions.binds.push(places);
        }
    }
    sessions
}

fn session(keys: &Keys<'_>, clients: &[Client], places: &mut Vec<(Span, String)>) -> Recipe {
    // Read by the merge with the provider.
    keys.at("provider");
    keys.get::<bool>("inherit");
    let recipe = Recipe {
        clients: self::clients(keys, clients),
        bind: bind(keys, places),
        concurrency: keys.choice(
            "concurrency",
            &[
                ("parallel", Concurrency::Parallel),
                ("serial", Concurrency::Serial),
            ],
        ),
        per_client: keys.or("per_client", false),
        persist: keys.or("persist", true),
        pace: keys
            .at("pace")
            .and_then(|at| at.parse("a pace", "\"2/s\", \"30/m\", \"1000/h\"")),
        user_agent: keys.get("user_agent"),
        presigned: keys.choice(
            "presigned",
            &[("skip", Presigned::Skip), ("inject", Presigned::Inject)],
        ),
        on_dead: keys.choice("on_dead", &[("pass", OnDead::Pass), ("fail", OnDead::Fail)]),
        inject: keys
            .at("inject")
            .map(|at| inject::list(&at))
            .unwrap_or_default(),
        cookies: keys
            .at("cookies")
            .and_then(|at| at.table(inject::cookies))
            .unwrap_or_default(),
        derive: keys
            .at("derive")
            .map(|at| values::fields(&at, |at| at.get()))
            .unwrap_or_default(),
        export: keys.at("export").and_then(|at| at.table(export::read)?),
        sign: keys.at("sign").and_then(|at| at.table(sign::read)?),
        rejected: keys
            .at("rejected")
            .map(|at| rejected::rejected(&at))
            .unwrap_or_default(),
        refresh: keys
            .at("refresh")
            .and_then(|at| at.table(refresh::read))
            .unwrap_or_default(),
        login: keys.at("login").and_then(|at| at.table(login::read)),
        captures: keys
            .at("capture")
            .map(|at| rejected::captures(&at))
            .unwrap_or_default(),
        blocks: keys
            .at("block")
            .map(|at| rejected::blocks(&at))
            .unwrap_or_default(),
        heartbeats: keys
            .at("heartbeat")
            .map(|at| refresh::heartbeats(&at))
            .unwrap_or_default(),
        values: plain_values(keys),
        ..Recipe::new("")
    };
    if !["inject", "cookies", "sign"]
        .iter()
        .any(|key| keys.has(key))
    {
        keys.at.fault(
            "nothing says how the credential is put on a request",
            "add [[session.NAME.inject]], or [session.NAME.cookies] for a site that knows you by cookies",
        );
    }
    if recipe.per_client && clients.is_empty() {
        keys.fault(
            "per_client",
            "there are no clients to tell apart",
            "add [clients.NAME], or leave the key out",
        );
    }
    recipe
}

fn bind(keys: &Keys<'_>, places: &mut Vec<(Span, String)>) -> Vec<Bind> {
    const HINT: &str = "say where the credential may go: bind = [{ host = \"api.example.com\" }]";
    let Some(at) = keys.need("bind", HINT) else {
        return Vec::new();
    };
    if at.is_empty_list() {
        at.fault("the credential may go nowhere", HINT);
    }
    let mut binds = Vec::new();
    for at in at.one_or_many() {
        if let Value::Text(_) = at.node.value {
            at.fault(
                "expected a table, found a string",
                "bind = [{ host = \"api.example.com\" }]",
            );
            continue;
        }
        if let Some(bind) = at.table(target::bind).flatten() {
            binds.push(bind);
            places.push((at.node.span, at.path.clone()));
        }
    }
    binds
}

fn clients(keys: &Keys<'_>, known: &[Client]) -> Option<Vec<String>> {
    let Some(at) = keys.at("clients") else {
        if !known.is_empty() {
            keys.at.fault(
                "`clients` is missing: whose session is it?",
                "name them, clients = [\"alice\"], or clients = [\"*\"] for all",
            );
        }
        return None;
    };
    let mut names = Vec::new();
    for at in at.one_or_many() {
        let Some(name) = at.text() else { continue };
        if name != "*" && !known.iter().any(|client| &*client.name == name) {
            let all: Vec<_> = known.iter().map(|client| &*client.name).collect();
            let hint = match all.as_slice() {
                [] => "there is no [clients.NAME] at all".to_owned(),
                all => format!("known: {}, and \"*\" for all", all.join(", ")),
            };
            at.fault("no such client", hint);
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        at.fault("nobody may use the session", "clients = [\"*\"] for all");
    }
    (!names.iter().any(|name| name == "*")).then_some(names)
}

fn plain_values(keys: &Keys<'_>) -> BTreeMap<String, String> {
    let Some(at) = keys.at("values") else {
        return BTreeMap::new();
    };
    values::fields(&at, plain).into_iter().collect()
}

/// Notes the sources of the session's secrets and returns their names: what they hold is read later.
fn secrets(keys: &Keys<'_>, recipe: usize, pending: &mut Vec<Pending>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let Some(at) = keys.at("secrets") else {
        return names;
    };
    for (entry, at) in at.entries().unwrap_or_default() {
        values::field_name(&at, &entry.key, entry.key_span);
        // The name is known whatever its source says: one fault is enough.
        names.insert(entry.key.clone());
        if let Some(source) = at.get::<Source>() {
            let name = entry.key.clone();
            pending.push(Pending {
                slot: Slot::Secret { recipe, name },
                source,
                span: at.node.span,
                path: at.path.clone(),
            });
        }
    }
    names
}

/// Notes URLs of a renewal that are asked with the credential, and to which it may not go.
fn reach(keys: &Keys<'_>, recipe: &Recipe) {
    if recipe.bind.is_empty() {
        return;
    }
    let anybodys = Recipe {
        clients: None,
        ..recipe.clone()
    };
    let Ok(matcher) = Matcher::new(&[Arc::new(anybodys)]) else {
        return;
    };
    let touched = match &recipe.refresh.kind {
        RefreshKind::Touch(url) => Some((url, "url")),
        _ => None,
    };
    let verified = recipe
        .refresh
        .verify
        .as_ref()
        .map(|verify| (&verify.url, "verify"));
    let is_bound = |url: &Url| {
        let none = HeaderMap::new();
        let found = matcher.find(None, &url.origin, &Method::GET, &url.path, &none);
        found.bound.is_some()
    };
    if !recipe.heartbeats.iter().all(|beat| is_bound(&beat.url)) {
        keys.fault(
            "heartbeat",
            "the session is not bound to the URL: its credential may not go there",
            "add its host and path to `bind`, for GET",
        );
    }
    for (url, key) in touched.into_iter().chain(verified) {
        if is_bound(url) {
            continue;
        }
        if let Some(at) = keys.at("refresh") {
            at.table_fault(
                key,
                "the session is not bound to this URL: its credential may not go there",
                "add its host and path to `bind`, for GET",
            );
        }
    }
}

/// Notes every two bindings of which none is the more specific, for a client that may use both.
pub(super) fn conflicts(sessions: &Sessions, faults: &Faults) {
    let Sessions { recipes, binds } = sessions;
    for conflict in Matcher::check(recipes) {
        let (recipe, bind) = conflict.at;
        let (span, path) = &binds[recipe][bind];
        faults.error(
            *span,
            path,
            format!("session {} is bound just as specifically", conflict.first),
            "make one of the two more specific with path, methods or when; or give them different clients",
        );
    }
}
