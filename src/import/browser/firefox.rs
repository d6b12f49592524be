//! Firefox: `cookies.sqlite`, and the session file for cookies that end with the browser.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::{
    Error, Found, Places, Row, Troubles, copy,
    profile::Profile,
    rows::{Table, bytes, number, text},
    session_store,
};
use crate::{import::collect::expiry, jar::SameSite, secret::Secret};

/// From this version of the database on, expiries are in milliseconds (Firefox 142).
const MILLISECONDS: i64 = 16;

/// The containers that Firefox itself makes, by the names of their labels.
const LABELS: [(&str, &str); 4] = [
    ("personal", "personal"),
    ("work", "work"),
    ("banking", "banking"),
    ("shopping", "shopping"),
];

/// What sets a cookie apart from the others of its host, as `originAttributes` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// 0: none.
    pub(super) container: u32,
    /// The site whose pages alone see the cookie, or another wall.
    pub(super) apart: bool,
}

/// Which container is read.
pub(super) struct Container {
    pub(super) id: u32,
}

pub(super) fn read(
    profile: &Profile,
    container: Option<&str>,
    places: &Places,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Found, Error> {
    let container = Container {
        id: match container {
            None | Some("none") => 0,
            Some(name) => self::container(&profile.folder, name)?,
        },
    };
    let mut found = Found::default();
    // What the database has is newer than the session file, which is written every quarter of a minute.
    session_store::read(&profile.folder, &container, wanted, &mut found);
    database(profile, &container, places, wanted, &mut found)?;
    Ok(found)
}

fn database(
    profile: &Profile,
    container: &Container,
    places: &Places,
    wanted: &dyn Fn(&str) -> bool,
    found: &mut Found,
) -> Result<(), Error> {
    let path = &profile.database;
    let connection = copy::open(path, places)?;
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    let version = version.map_err(|error| Error::Damaged {
        path: path.clone(),
        why: error.to_string(),
    })?;
    let table = Table {
        connection: &connection,
        path,
        name: "moz_cookies",
    };
    let columns = [
        "host",
        "name",
        "value",
        "path",
        "expiry",
        "isSecure",
        "isHttpOnly",
        "sameSite",
        "originAttributes",
    ];
    let lost = table.read(&columns, |row| {
        let Some(host) = text(row, 0).filter(|host| wanted(host)) else {
            return;
        };
        let attributes = Attributes::parse(&text(row, 8).unwrap_or_default(), &host);
        if !container.takes(&attributes, &mut found.troubles) {
            return;
        }
        let (Some(name), Some(value), Some(path)) = (bytes(row, 1), bytes(row, 2), text(row, 3))
        else {
            return found.troubles.add("is damaged", None);
        };
        found.rows.push(Row {
            name,
            value: Secret::new(value),
            host,
            path,
            expires: end(number(row, 4), version),
            secure: number(row, 5) != 0,
            http_only: number(row, 6) != 0,
            same_site: same_site(number(row, 7)),
        });
    })?;
    if lost {
        found.troubles.lose();
    }
    Ok(())
}

fn end(expiry: i64, version: i64) -> Option<SystemTime> {
    if version < MILLISECONDS {
        return self::expiry(expiry as f64);
    }
    let since = Duration::from_millis(u64::try_from(expiry).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

pub(super) fn same_site(number: i64) -> Option<SameSite> {
    match number {
        1 => Some(SameSite::Lax),
        2 => Some(SameSite::Strict),
        // 0 is None in a cookie that says so and, in older versions, in one that says nothing.
        _ => None,
    }
}

/// Finds a container by its name or number.
fn container(folder: &Path, name: &str) -> Result<u32, Error> {
    let file = copy::read(&folder.join("containers.json"));
    let file: Value = file
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let mut known = Vec::new();
    for identity in file["identities"].as_array().into_iter().flatten() {
        // Firefox's own ones for what no page may see.
        if identity["public"] == Value::Bool(false) {
            continue;
        }
        let Some(id) = identity["userContextId"]
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
        else {
            continue;
        };
        let label = identity["l10nID"].as_str().or(identity["l10nId"].as_str());
        let label = label.and_then(|label| {
            let label = label.to_ascii_lowercase();
            let found = LABELS.iter().find(|(word, _)| label.contains(word));
            found.map(|(_, name)| *name)
        });
        let shown = identity["name"].as_str().filter(|name| !name.is_empty());
        let is_it = |known: &str| known.eq_ignore_ascii_case(name);
        if shown.is_some_and(is_it) || label.is_some_and(is_it) || id.to_string() == name {
            return Ok(id);
        }
        known.push(
            shown
                .or(label)
                .map_or_else(|| id.to_string(), str::to_owned),
        );
    }
    if known.is_empty() {
        known.push("none".to_owned());
    }
    Err(Error::UnknownContainer {
        name: name.to_owned(),
        known,
    })
}

// === impl Attributes ===

impl Attributes {
    /// Reads `^userContextId=2&partitionKey=…`.
    fn parse(text: &str, host: &str) -> Self {
        let mut attributes = Self::default();
        let text = text.strip_prefix('^').unwrap_or(text);
        for (key, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            attributes.set(key, value, host);
        }
        attributes
    }

    pub(super) fn set(&mut self, key: &str, value: &str, host: &str) {
        match key {
            "userContextId" => match value.parse() {
                Ok(id) => self.container = id,
                Err(_) => self.apart = true,
            },
            // Isolation by the page's site: as good as none where page and cookie are of one site.
            "firstPartyDomain" => {
                let host = host.strip_prefix('.').unwrap_or(host);
                self.apart |= !value.is_empty() && !crate::jar::domain::domain_match(host, value);
            }
            _ => self.apart |= !matches!(value, "" | "0" | "false"),
        }
    }
}

// === impl Container ===

impl Container {
    /// Tells whether a cookie is in the container; counts those that somebody might miss.
    pub(super) fn takes(&self, attributes: &Attributes, troubles: &mut Troubles) -> bool {
        if attributes.apart {
            troubles.add("is kept apart for one embedding site or window", None);
            return false;
        }
        let inside = attributes.container == self.id;
        if !inside && self.id == 0 {
            let hint = "if that is where you are signed in: --container NAME";
            troubles.add(
                &format!("is in container {}", attributes.container),
                Some(hint),
            );
        }
        inside
    }
}
