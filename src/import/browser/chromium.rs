//! Chromium and those that are made of it: the database `Cookies`, whose values are encrypted.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use rusqlite::Connection;

use super::{
    Ask, Error, Found, Row, copy,
    profile::Profile,
    rows::{Table, bytes, number, text},
    seal::{Keys, Problem},
};
use crate::{jar::SameSite, secret::Secret};

/// From this version of the database on, values begin with the hash of their host.
const HASHED: i64 = 24;

/// From 1601, where Windows begins to count, to 1970.
const TO_1970: Duration = Duration::from_secs(11_644_473_600);

/// A row whose value is still sealed.
struct Sealed {
    row: Row,
    sealed: Vec<u8>,
}

pub(super) fn read(
    ask: &Ask<'_>,
    profile: &Profile,
    password: Option<&Secret>,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Found, Error> {
    let path = &profile.database;
    let connection = copy::open(path, ask.places)?;
    let hashed = version(&connection, path)? >= HASHED;
    let mut found = Found::default();
    let mut rows = Vec::new();
    let table = Table {
        connection: &connection,
        path,
        name: "cookies",
    };
    let columns = [
        "host_key",
        "name",
        "value",
        "encrypted_value",
        "path",
        "expires_utc",
        "is_secure|secure",
        "is_httponly|httponly",
        "samesite|firstpartyonly",
        "top_frame_site_key",
    ];
    let lost = table.read(&columns, |row| {
        let Some(host) = text(row, 0).filter(|host| wanted(host)) else {
            return;
        };
        if bytes(row, 9).is_some_and(|site| !site.is_empty()) {
            let what = "is kept apart for one embedding site";
            return found.troubles.add(what, None);
        }
        let (Some(name), Some(path)) = (bytes(row, 1), text(row, 4)) else {
            return found.troubles.add("is damaged", None);
        };
        rows.push(Sealed {
            sealed: bytes(row, 3).unwrap_or_default(),
            row: Row {
                name,
                value: Secret::new(bytes(row, 2).unwrap_or_default()),
                host,
                path,
                expires: end(number(row, 5)),
                secure: number(row, 6) != 0,
                http_only: number(row, 7) != 0,
                same_site: same_site(number(row, 8)),
            },
        });
    })?;
    drop(connection);
    if lost {
        found.troubles.lose();
    }
    let mut keys = Keys::new(ask, password, hashed);
    for Sealed { mut row, sealed } in rows {
        // In clear, or nothing at all: a cookie may be empty.
        if !sealed.is_empty() {
            match keys.open(&sealed, &row.host) {
                Ok(value) => row.value = value,
                Err(problem) => {
                    found.troubles.add(&problem.to_string(), problem.hint());
                    continue;
                }
            }
        }
        found.rows.push(row);
    }
    Ok(found)
}

fn version(connection: &Connection, path: &Path) -> Result<i64, Error> {
    let sql = "SELECT value FROM meta WHERE key = 'version'";
    let version = connection.query_row(sql, [], |row| Ok(text(row, 0).unwrap_or_default()));
    let damaged = |why: String| Error::Damaged {
        path: path.to_owned(),
        why,
    };
    let version = version.map_err(|error| damaged(error.to_string()))?;
    version
        .parse()
        .map_err(|_| damaged("it does not say its version".to_owned()))
}

/// Reads microseconds since 1601; 0 is a session cookie.
fn end(expires: i64) -> Option<SystemTime> {
    let since = u64::try_from(expires).ok().filter(|since| *since > 0)?;
    let since = Duration::from_micros(since).checked_sub(TO_1970);
    SystemTime::UNIX_EPOCH.checked_add(since.unwrap_or_default())
}

fn same_site(number: i64) -> Option<SameSite> {
    match number {
        0 => Some(SameSite::None),
        1 => Some(SameSite::Lax),
        2 => Some(SameSite::Strict),
        _ => None,
    }
}

// === impl Problem ===

impl Problem {
    /// Returns what a person can do about it.
    fn hint(self) -> Option<&'static str> {
        match self {
            Self::AppBound => Some(
                "only Chrome itself can open those: use Firefox, or export them with an extension: --from json or cookies-txt",
            ),
            Self::Portal => Some(
                "only the Flatpak itself can open those: use a browser outside of Flatpak, or export them with an extension: --from json or cookies-txt",
            ),
            Self::NoPassword => Some(
                "run it in the desktop's own session with libsecret's `secret-tool` installed, or say the password of the entry \"… Safe Storage\": --password SOURCE",
            ),
            Self::WrongPassword => Some(
                "is the profile another user's or machine's? Else say the password of the entry \"… Safe Storage\": --password SOURCE",
            ),
            Self::Unknown | Self::Damaged | Self::Foreign => None,
        }
    }
}
