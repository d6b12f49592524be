//! What is read of sessions. Every function is a single statement, hence one snapshot.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, Row, params, types::FromSqlError};
use zeroize::Zeroizing;

use super::super::{
    Error, SessionId, Stored,
    record::Record,
    seal::{Place, Seal},
};
use crate::{
    grant::{Generation, Grant},
    jar::Cookie,
};

pub(super) const GRANT: &str = "grant";
pub(super) const NOTES: &str = "notes";
pub(super) const COOKIE: &str = "cookie";
/// The generation and the grant to go back to.
pub(super) const PREVIOUS: &str = "previous";
/// Cookies as they were at that time, if they changed since; nothing for one that was not there.
pub(super) const BEFORE: &str = "before";

/// What went wrong with one session's rows.
#[derive(Debug)]
pub(super) enum Problem {
    Sql(rusqlite::Error),
    Damaged,
}

/// Returns what is stored of a session.
pub(super) fn load(
    connection: &Connection,
    seal: &Seal,
    id: &SessionId,
) -> Result<Option<Stored>, Problem> {
    // The head stands in the first row also if there is no record.
    let sql = "SELECT session.generation, kind, row, version, sealed FROM session
               LEFT JOIN record ON session = session.id AND kind IN ('cookie', 'grant', 'notes')
               WHERE name = ?1 AND client IS ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![&*id.name, id.client.as_deref()])?;
    let mut stored: Option<Stored> = None;
    while let Some(row) = rows.next()? {
        let stored = stored.get_or_insert_default();
        stored.generation = generation(row.get(0)?);
        let Some(kind) = row.get_ref(1)?.as_str_or_null()? else {
            break;
        };
        match kind {
            "grant" => stored.grant = record(row, seal, id, GRANT)?,
            "notes" => stored.notes = record(row, seal, id, NOTES)?,
            _ => stored.cookies.push(record(row, seal, id, COOKIE)?),
        }
    }
    Ok(stored)
}

/// Returns what was stored before the last commit that kept it.
pub(super) fn previous(
    connection: &Connection,
    seal: &Seal,
    id: &SessionId,
) -> Result<Option<Stored>, Problem> {
    let sql = "SELECT session.generation, kind, row, version, sealed FROM session
               JOIN record ON session = session.id AND kind IN ('before', 'cookie', 'previous')
               WHERE name = ?1 AND client IS ?2 AND previous";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![&*id.name, id.client.as_deref()])?;
    let mut stored: Option<Stored> = None;
    let mut cookies: HashMap<Vec<u8>, Option<Cookie>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let key: Vec<u8> = row.get(2)?;
        match row.get_ref(1)?.as_str_or_null()? {
            Some("previous") => {
                let plain = opened(row, seal, id, PREVIOUS)?;
                let (generation, grant) = plain.split_first_chunk::<8>().ok_or(Problem::Damaged)?;
                let stored = stored.get_or_insert_default();
                stored.generation = Generation(u64::from_le_bytes(*generation));
                if !grant.is_empty() {
                    stored.grant = Grant::from_bytes(grant).ok_or(Problem::Damaged)?;
                }
            }
            // What it was before counts, whatever it is now; nothing if it was not there.
            Some("before") => {
                let plain = opened(row, seal, id, BEFORE)?;
                let before = match &**plain {
                    [] => None,
                    bytes => Some(Cookie::from_bytes(bytes).ok_or(Problem::Damaged)?),
                };
                cookies.insert(key, before);
            }
            _ => {
                let now = record(row, seal, id, COOKIE)?;
                cookies.entry(key).or_insert(Some(now));
            }
        }
    }
    Ok(stored.map(|stored| Stored {
        cookies: cookies.into_values().flatten().collect(),
        ..stored
    }))
}

/// Returns the sessions that something is stored of.
pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<SessionId>> {
    let sql = "SELECT name, client FROM session
               WHERE EXISTS (SELECT 1 FROM record WHERE session = session.id)";
    let mut statement = connection.prepare_cached(sql)?;
    let mut all: Vec<_> = statement
        .query_map((), session_id)?
        .collect::<Result<_, _>>()?;
    all.sort();
    Ok(all)
}

/// Returns the sessions that were changed after a commit of the whole store, with the number of their last one.
pub(super) fn changed_since(
    connection: &Connection,
    change: i64,
) -> rusqlite::Result<Vec<(SessionId, i64)>> {
    let sql = "SELECT name, client, change FROM session WHERE change > ?1 ORDER BY change";
    connection
        .prepare_cached(sql)?
        .query_map([change], |row| Ok((session_id(row)?, row.get(2)?)))?
        .collect()
}

pub(super) fn session_id(row: &Row<'_>) -> rusqlite::Result<SessionId> {
    Ok(SessionId {
        name: Arc::from(row.get_ref(0)?.as_str()?),
        client: row.get_ref(1)?.as_str_or_null()?.map(Arc::from),
    })
}

pub(super) fn generation(column: i64) -> Generation {
    Generation(column.cast_unsigned())
}

/// Opens the record of a row of (generation, kind, row, version, sealed).
fn opened(
    row: &Row<'_>,
    seal: &Seal,
    id: &SessionId,
    kind: &'static str,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let key = row.get_ref(2)?.as_bytes()?;
    let sealed = row.get_ref(4)?.as_bytes()?;
    open(seal, id, kind, key, row.get(3)?, sealed)
}

fn record<R: Record>(
    row: &Row<'_>,
    seal: &Seal,
    id: &SessionId,
    kind: &'static str,
) -> Result<R, Problem> {
    R::from_bytes(&opened(row, seal, id, kind)?).ok_or(Problem::Damaged)
}

pub(super) fn open(
    seal: &Seal,
    id: &SessionId,
    table: &str,
    row: &[u8],
    version: i64,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let place = Place {
        table,
        id,
        row,
        version: version.cast_unsigned(),
    };
    seal.open(place, sealed).map_err(|_| Problem::Damaged)
}

impl From<FromSqlError> for Problem {
    fn from(_: FromSqlError) -> Self {
        Self::Damaged
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Problem {
    /// Returns the error of a read of this session.
    pub(super) fn while_reading(self, id: &SessionId) -> Error {
        match self {
            Self::Sql(e) => Error::Read(Box::new(e)),
            Self::Damaged => Error::Damaged(id.to_string()),
        }
    }
}
