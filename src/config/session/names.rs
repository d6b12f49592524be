//! The names of a session: values, secrets, fields of the grant and derived ones share one namespace, and a
//! template may use no other.

use std::collections::BTreeSet;

use super::{login, values::Use};
use crate::{
    config::{nearest::nearest, read::Keys, tree::Value},
    rule::{ClientAuth, GrantType, Recipe, RefreshKind, UserAgent, template::Template, user_agent},
};

/// What a login or an import brings, whatever the refresh is.
const BROUGHT: &[&str] = &[
    "access_token",
    "refresh_token",
    "id_token",
    "adp_token",
    "device_private_key",
];

/// What the token requests of the standard ask for (RFC 6749, RFC 7523).
const ASKED_FOR: &[&str] = &[
    "assertion",
    "client_id",
    "client_secret",
    "password",
    "username",
];

/// What the output of a command brings, unless it says more (AWS `credential_process`).
const OF_COMMANDS: &[&str] = &[
    "access_token",
    "access_key_id",
    "secret_access_key",
    "session_token",
];

/// Checks the names, puts derived fields in the order of their use, and tells the secrets that start the session
/// from those that are used as they are.
pub(super) fn check(
    keys: &Keys<'_>,
    recipe: &mut Recipe,
    secrets: &BTreeSet<String>,
    uses: &[Use],
) {
    let mut produced = produced(recipe);
    if recipe.user_agent == Some(UserAgent::Learnt) {
        produced.insert(user_agent::FIELD.to_owned());
    }
    once(keys, recipe, secrets, &produced);
    let mut known = produced.clone();
    known.extend(recipe.values.keys().cloned());
    known.extend(secrets.iter().cloned());
    known.extend(recipe.derive.iter().map(|(name, _)| name.clone()));
    credentials(keys, recipe, &known);
    login::check(keys, recipe, &known);
    fruitless(keys, recipe);
    known.extend(BROUGHT.iter().map(|name| (*name).to_owned()));
    for used in uses {
        templates(keys, recipe, used, &known);
    }
    unused(keys, &produced, uses);
    order(keys, &mut recipe.derive);
    recipe.seeds = secrets.intersection(&produced).cloned().collect();
}

/// Returns the fields that the server renews.
fn produced(recipe: &Recipe) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    match &recipe.refresh.kind {
        RefreshKind::Oauth2(oauth2) => {
            names.extend(oauth2.answer.iter().map(|(name, _)| name.clone()));
        }
        RefreshKind::Steps(steps) => {
            let captures = steps.iter().flat_map(|step| &step.capture);
            names.extend(captures.map(|(name, _)| name.clone()));
        }
        RefreshKind::Command(_) => names.extend(OF_COMMANDS.iter().map(|name| (*name).to_owned())),
        RefreshKind::Import(import) if import.file.is_some() => {
            names.extend(BROUGHT.iter().map(|name| (*name).to_owned()));
        }
        RefreshKind::Touch(_) | RefreshKind::Import(_) | RefreshKind::None => {}
    }
    let captures = recipe.captures.iter().flat_map(|capture| &capture.answer);
    names.extend(captures.map(|(name, _)| name.clone()));
    names
}

/// Notes a name that stands for two things.
fn once(keys: &Keys<'_>, recipe: &Recipe, secrets: &BTreeSet<String>, produced: &BTreeSet<String>) {
    let derived = |name: &str| recipe.derive.iter().any(|(other, _)| other == name);
    for (table, secret) in [("values", false), ("secrets", true)] {
        let Some(at) = keys.at(table) else { continue };
        for (entry, at) in at.entries().unwrap_or_default() {
            let name = entry.key.as_str();
            let (other, hint) = if derived(name) {
                ("a derived field", "choose another name for one of the two")
            } else if !secret && secrets.contains(name) {
                ("a secret", "choose another name for one of the two")
            } else if !secret && produced.contains(name) {
                (
                    "a field that the server renews",
                    "what starts it stands under `secrets`, as a source",
                )
            } else {
                continue;
            };
            at.fault_at(
                entry.key_span,
                format!("`{name}` is the name of {other} too"),
                hint,
            );
        }
    }
    if let Some(at) = keys.at("derive") {
        for (entry, at) in at.entries().unwrap_or_default() {
            if produced.contains(&entry.key) {
                at.fault_at(
                    entry.key_span,
                    format!(
                        "`{}` is the name of a field that the server renews too",
                        entry.key
                    ),
                    "choose another name",
                );
            }
        }
    }
}

/// Notes what the chosen way to renew would ask for in vain.
fn credentials(keys: &Keys<'_>, recipe: &Recipe, known: &BTreeSet<String>) {
    let RefreshKind::Oauth2(oauth2) = &recipe.refresh.kind else {
        return;
    };
    let param = |name: &str| oauth2.params.iter().any(|(param, _)| param == name);
    let mut missing = match oauth2.grant_type {
        GrantType::Password => vec!["username", "password"],
        GrantType::JwtBearer => vec!["assertion"],
        GrantType::RefreshToken | GrantType::ClientCredentials => Vec::new(),
    };
    if oauth2.client_auth == ClientAuth::Post {
        missing.extend(["client_id", "client_secret"]);
    }
    missing.retain(|name| !param(name));
    // These two go into a field, which no parameter takes the place of.
    if oauth2.client_auth == ClientAuth::Basic {
        missing.extend(["client_id", "client_secret"]);
    }
    missing.retain(|name| !known.contains(*name));
    if missing.is_empty() {
        return;
    }
    let Some(at) = keys.at("refresh") else { return };
    let client = missing.iter().any(|name| name.starts_with("client"));
    let hint = match oauth2.client_auth {
        ClientAuth::Basic if client => {
            "add them under `values` and `secrets`; for a client without a secret: client_auth = \"none\""
        }
        ClientAuth::Post if client => {
            "add them under `values` and `secrets`; for a client without a secret: params = { client_secret = \"\" }"
        }
        _ => "add it under `values` or, as a source, under `secrets`",
    };
    at.fault(
        format!("the token request needs {}", missing.join(" and ")),
        hint,
    );
}

/// Notes a renewal from which nothing is learnt.
fn fruitless(keys: &Keys<'_>, recipe: &Recipe) {
    let what = match &recipe.refresh.kind {
        RefreshKind::Touch(_) => "a touch renews cookies",
        RefreshKind::Import(import) if import.file.is_none() => "a browser has cookies",
        RefreshKind::Steps(_) if !captures(keys) => "the steps capture nothing",
        _ => return,
    };
    if !recipe.cookies.enabled {
        keys.fault(
            "refresh",
            format!("{what}, and the session keeps no cookies"),
            "add [session.NAME.cookies]",
        );
    }
}

/// Tells whether a step is written to capture something, be it right or wrong.
fn captures(keys: &Keys<'_>) -> bool {
    let steps = keys.at("refresh").and_then(|at| match &at.node.value {
        Value::Table(refresh) => refresh.get("steps"),
        _ => None,
    });
    let Some(Value::List(steps)) = steps.map(|entry| &entry.node.value) else {
        return true;
    };
    steps.iter().any(|step| match &step.value {
        Value::Table(step) => step.get("capture").is_some(),
        _ => true,
    })
}

/// Warns of secrets that nothing asks for: mostly a name that was mistyped.
fn unused(keys: &Keys<'_>, produced: &BTreeSet<String>, uses: &[Use]) {
    let Some(at) = keys.at("secrets") else { return };
    for (entry, at) in at.entries().unwrap_or_default() {
        let name = entry.key.as_str();
        let used = produced.contains(name)
            || ASKED_FOR.contains(&name)
            || uses
                .iter()
                .any(|used| used.template.fields().any(|field| field == name));
        if used {
            continue;
        }
        let candidates = produced
            .iter()
            .map(String::as_str)
            .chain(ASKED_FOR.iter().copied());
        let hint = match nearest(name, candidates) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("use it in a template, {{{{ {name} }}}}, or leave it out"),
        };
        let message = "nothing uses this secret";
        at.faults.warn(entry.key_span, &at.path, message, hint);
    }
}

fn templates(keys: &Keys<'_>, recipe: &Recipe, used: &Use, known: &BTreeSet<String>) {
    let faults = keys.at.faults;
    for field in used.template.fields() {
        // A command may print fields of any name.
        let any = matches!(recipe.refresh.kind, RefreshKind::Command(_));
        if known.contains(field) || any {
            continue;
        }
        let hint = match nearest(field, known.iter().map(String::as_str)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => {
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                format!(
                    "a field comes from `values`, `secrets`, `derive`, or what a refresh or a capture takes; there are {}",
                    known.join(", ")
                )
            }
        };
        faults.error(
            used.span,
            &used.path,
            format!("nothing gives a field `{field}`"),
            hint,
        );
    }
    if used.template.cookies().next().is_some() && !recipe.cookies.enabled {
        faults.error(
            used.span,
            &used.path,
            "the session keeps no cookies",
            "add [session.NAME.cookies]",
        );
    }
}

/// Sorts derived fields so that each stands after those it uses.
fn order(keys: &Keys<'_>, derive: &mut Vec<(String, Template)>) {
    let mut left = std::mem::take(derive);
    while !left.is_empty() {
        let ready = left.iter().position(|(_, template)| {
            !template
                .fields()
                .any(|field| left.iter().any(|(name, _)| name == field))
        });
        let Some(ready) = ready else {
            let names: Vec<_> = left.iter().map(|(name, _)| name.as_str()).collect();
            keys.fault(
                "derive",
                format!("derived fields that use one another: {}", names.join(", ")),
                "one of them must come from something else",
            );
            *derive = left;
            return;
        };
        derive.push(left.remove(ready));
    }
}
