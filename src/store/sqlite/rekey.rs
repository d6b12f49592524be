//! Sealing everything again with another key, in one transaction.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, params};

use super::{
    super::{
        Error, SessionId,
        seal::{Place, Seal},
    },
    keys::Keys,
    read::{self, Problem},
    transaction::Database,
};
use crate::secret::Secret;

/// How long readers of the log are waited for before it is left to be overwritten in time.
const READERS: Duration = Duration::from_millis(250);

/// What replaces the key.
#[derive(Clone, Debug)]
pub enum NewKey {
    /// A new one in the file of the old.
    Drawn,
    /// This one; where the old one came from, it is put by whoever asks.
    Given(Secret<[u8; 32]>),
}

/// A replacement that was asked for.
#[derive(Clone, Debug)]
pub struct Replacement {
    pub key: NewKey,
    /// Only if the present key is this old.
    pub age: Option<Duration>,
    pub now: SystemTime,
}

// === impl Database ===

impl Database {
    /// Replaces the key; returns how many records were sealed again, `None` if it is not old enough.
    pub(super) fn replace_key(
        &mut self,
        keys: &Keys,
        asked: &Replacement,
    ) -> Result<Option<usize>, Error> {
        if !self.is_due(asked)? {
            return Ok(None);
        }
        let _right = keys.replacing()?;
        keys.end_begun(&self.connection)?;
        if matches!(asked.key, NewKey::Given(_)) && !keys.is_alone() {
            return Err(Error::NotAlone);
        }
        self.begin(true).map_err(|e| self.at(e))?;
        let (seal, count) = match self.seal_again(keys, asked) {
            Ok(Some(done)) => done,
            Ok(None) => {
                self.roll_back();
                return Ok(None);
            }
            Err(error) => {
                self.roll_back();
                keys.source().drop_next();
                return Err(error);
            }
        };
        if let Err(error) = self.execute("COMMIT") {
            // The new key stays beside the old: who can say what is on the disk?
            self.roll_back();
            return Err(self.at(error).into());
        }
        keys.set(seal);
        if let NewKey::Drawn = asked.key
            && let Err(error) = keys.source().adopt_next()
        {
            // It is found beside the old one whenever the store is opened.
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "the store's new key is not in the place of the old one"
            );
        }
        self.truncate_log();
        Ok(Some(count))
    }

    /// Says whether the key is old enough.
    fn is_due(&self, asked: &Replacement) -> Result<bool, Error> {
        let Some(age) = asked.age else {
            return Ok(true);
        };
        let sql = "SELECT value FROM meta WHERE name = 'keyed'";
        let since: i64 = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row((), |row| row.get(0)))
            .map_err(|e| Error::Read(Box::new(e)))?;
        Ok(seconds(asked.now).saturating_sub(since)
            >= i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
    }

    /// Writes all that changes with the key, within a transaction.
    fn seal_again(&self, keys: &Keys, asked: &Replacement) -> Result<Option<(Seal, usize)>, Error> {
        let old = keys.follow(&self.connection)?;
        // Another process may have been faster.
        if !self.is_due(asked)? {
            return Ok(None);
        }
        let new = match &asked.key {
            NewKey::Given(key) => old.renewed(key),
            NewKey::Drawn => old.renewed(&keys.source().make_next()?),
        };
        let mut count = 0;
        for (row, id) in sessions(&self.connection).map_err(|e| self.at(e))? {
            count +=
                again(&self.connection, (&old, &new), row, &id).map_err(
                    |problem| match problem {
                        Problem::Sql(error) => self.at(error).into(),
                        Problem::Damaged => Error::Damaged(id.to_string()),
                    },
                )?;
        }
        write_key(&self.connection, &new, asked.now).map_err(|e| self.at(e))?;
        Ok(Some((new, count)))
    }

    /// Takes what the old key opens out of the log. Whoever still reads it keeps it; it is overwritten in time.
    fn truncate_log(&self) {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let truncate = || {
            // Readers are waited for with the lock held: nobody else writes meanwhile.
            self.connection.busy_timeout(READERS)?;
            let done = self
                .connection
                .query_row(sql, (), |row| row.get::<_, i64>(0));
            self.connection.busy_timeout(self.busy)?;
            done
        };
        if let Err(error) = truncate() {
            tracing::warn!(%error, "the store's log was not emptied");
        }
    }
}

/// Writes what proves the key, and what outlives it.
pub(super) fn write_key(
    connection: &Connection,
    seal: &Seal,
    now: SystemTime,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO meta
               VALUES ('key', ?1), ('lasting', ?2), ('epoch', ?3), ('keyed', ?4)";
    connection
        .execute(
            sql,
            params![
                seal.key_check(),
                seal.sealed_lasting(),
                seal.epoch(),
                seconds(now)
            ],
        )
        .map(drop)
}

/// Seals the records of one session again; returns how many.
fn again(
    connection: &Connection,
    (old, new): (&Seal, &Seal),
    session: i64,
    id: &SessionId,
) -> Result<usize, Problem> {
    let sql = "SELECT kind, row, version, sealed FROM record WHERE session = ?1";
    let records: Vec<(String, Vec<u8>, i64, Vec<u8>)> = connection
        .prepare_cached(sql)?
        .query_map([session], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    let sql = "UPDATE record SET sealed = ?4 WHERE session = ?1 AND kind = ?2 AND row = ?3";
    let mut update = connection.prepare_cached(sql)?;
    for (kind, row, version, sealed) in &records {
        let plain = read::open(old, id, kind, row, *version, sealed)?;
        let place = Place {
            table: kind,
            id,
            row,
            version: version.cast_unsigned(),
        };
        let mut buffer = super::super::seal::buffer(plain.len());
        buffer.extend_from_slice(&plain);
        update.execute(params![session, kind, row, new.seal(place, buffer)])?;
    }
    Ok(records.len())
}

fn sessions(connection: &Connection) -> rusqlite::Result<Vec<(i64, SessionId)>> {
    let mut statement = connection.prepare_cached("SELECT name, client, id FROM session")?;
    let all = statement.query_map((), |row| Ok((row.get(2)?, read::session_id(row)?)))?;
    all.collect()
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
