//! What a commit writes of one session. It runs within a transaction of the caller's.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use zeroize::Zeroizing;

use super::{
    super::{
        Change, Committed, Cookies, Notes, SessionId, cookie_key,
        record::Record,
        seal::{self, Place, Seal},
    },
    read::{self, BEFORE, COOKIE, GRANT, NOTES, PREVIOUS, Problem},
};
use crate::{
    grant::{Generation, Grant},
    jar::Cookie,
};

/// One session within a transaction.
pub(super) struct Session<'a> {
    connection: &'a Connection,
    seal: &'a Seal,
    id: &'a SessionId,
    /// The number of this commit in the whole store, the version of the records that it writes.
    change: i64,
    head: Head,
}

/// The row of a session itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    /// 0: there is none yet.
    row: i64,
    generation: Generation,
    /// The number of the last commit; 0: nothing is stored yet.
    pub(super) change: i64,
    /// Whether there is something to go back to.
    previous: bool,
}

// === impl Session ===

impl<'a> Session<'a> {
    /// Reads the head; `change` is the number that a commit gets.
    pub(super) fn read(
        connection: &'a Connection,
        seal: &'a Seal,
        id: &'a SessionId,
        change: i64,
    ) -> Result<Self, Problem> {
        let sql = "SELECT id, generation, change, previous FROM session
                   WHERE name = ?1 AND client IS ?2";
        let head = connection
            .prepare_cached(sql)?
            .query_row(params![&*id.name, id.client.as_deref()], |row| {
                Ok(Head {
                    row: row.get(0)?,
                    generation: read::generation(row.get(1)?),
                    change: row.get(2)?,
                    previous: row.get(3)?,
                })
            })
            .optional()?
            .unwrap_or_default();
        Ok(Self {
            connection,
            seal,
            id,
            change,
            head,
        })
    }

    /// Returns the head as it was when it was read.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Writes a change if the generation is the expected one.
    pub(super) fn commit(
        mut self,
        expected: Generation,
        change: &Change,
    ) -> Result<Committed, Problem> {
        if self.head.generation != expected {
            let stored = read::load(self.connection, self.seal, self.id)?;
            return Ok(Committed::Conflict(Box::new(stored.unwrap_or_default())));
        }
        let Change {
            generation,
            grant,
            cookies,
            notes,
            keep_previous,
        } = change;
        if *keep_previous {
            self.keep_previous()?;
        }
        self.write_head(expected.max(*generation))?;
        if let Some(grant) = grant {
            self.put_or_delete(GRANT, grant, *grant == Grant::default())?;
        }
        if let Some(notes) = notes {
            self.put_or_delete(NOTES, notes, *notes == Notes::default())?;
        }
        match cookies {
            Cookies::Keep => {}
            Cookies::Patch { put, remove } => {
                for key in remove {
                    self.remove_cookie(&self.seal.row(self.id, key))?;
                }
                for cookie in put {
                    self.put_cookie(&self.seal.row(self.id, &cookie_key(cookie)), cookie)?;
                }
            }
            Cookies::Replace(all) => self.replace_cookies(all)?,
        }
        Ok(Committed::Done)
    }

    /// Deletes everything but the head, and moves the generation on.
    pub(super) fn forget(mut self) -> Result<Committed, Problem> {
        self.connection
            .prepare_cached("DELETE FROM record WHERE session = ?1")?
            .execute([self.head.row])?;
        self.head.previous = false;
        self.write_head(self.head.generation.next())?;
        Ok(Committed::Done)
    }

    fn write_head(&mut self, to: Generation) -> Result<(), Problem> {
        let Head { row, previous, .. } = self.head;
        let generation = to.0.cast_signed();
        if row == 0 {
            let sql = "INSERT INTO session (name, client, generation, change, previous)
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            let (name, client) = (&*self.id.name, self.id.client.as_deref());
            self.head.row = self.connection.prepare_cached(sql)?.insert(params![
                name,
                client,
                generation,
                self.change,
                previous
            ])?;
        } else {
            let sql =
                "UPDATE session SET generation = ?2, change = ?3, previous = ?4 WHERE id = ?1";
            self.connection.prepare_cached(sql)?.execute(params![
                row,
                generation,
                self.change,
                previous
            ])?;
        }
        Ok(())
    }

    /// Remembers the grant and the generation, and that cookies are remembered from now on as they change: with
    /// thousands of cookies a rotation of one must not copy them all.
    fn keep_previous(&mut self) -> Result<(), Problem> {
        let Head {
            row, generation, ..
        } = self.head;
        let grant = self.plain(GRANT, &[])?;
        let held = match &grant {
            None => false,
            Some(bytes) => !Grant::from_bytes(bytes)
                .ok_or(Problem::Damaged)?
                .fields
                .is_empty(),
        };
        if !held && !self.has_cookies()? {
            return Ok(());
        }
        self.connection
            .prepare_cached("DELETE FROM record WHERE session = ?1 AND kind = ?2")?
            .execute(params![row, BEFORE])?;
        let mut record = seal::buffer(8 + grant.as_ref().map_or(0, |g| g.len()));
        record.extend_from_slice(&generation.0.to_le_bytes());
        if let Some(grant) = grant {
            record.extend_from_slice(&grant);
        }
        self.put(PREVIOUS, &[], record)?;
        self.head.previous = true;
        Ok(())
    }

    fn has_cookies(&self) -> Result<bool, Problem> {
        let sql = "SELECT EXISTS (SELECT 1 FROM record WHERE session = ?1 AND kind = ?2)";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row(params![self.head.row, COOKIE], |row| row.get(0))?)
    }

    fn put_cookie(&self, row: &[u8], cookie: &Cookie) -> Result<(), Problem> {
        self.remember(row)?;
        self.put(COOKIE, row, cookie.to_bytes())
    }

    fn remove_cookie(&self, row: &[u8]) -> Result<(), Problem> {
        self.remember(row)?;
        self.delete(COOKIE, row)
    }

    /// Keeps a cookie's row as it is for `previous`, at its first change since.
    fn remember(&self, row: &[u8]) -> Result<(), Problem> {
        if !self.head.previous || self.raw(BEFORE, row)?.is_some() {
            return Ok(());
        }
        let now = self.plain(COOKIE, row)?;
        let mut record = seal::buffer(now.as_ref().map_or(0, |bytes| bytes.len()));
        if let Some(now) = now {
            record.extend_from_slice(&now);
        }
        self.put(BEFORE, row, record)
    }

    /// Writes what differs.
    fn replace_cookies(&self, all: &[Cookie]) -> Result<(), Problem> {
        let mut new: HashMap<[u8; 16], &Cookie> = all
            .iter()
            .map(|cookie| (self.seal.row(self.id, &cookie_key(cookie)), cookie))
            .collect();
        let sql = "SELECT row FROM record WHERE session = ?1 AND kind = ?2";
        let rows: Vec<Vec<u8>> = self
            .connection
            .prepare_cached(sql)?
            .query_map(params![self.head.row, COOKIE], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for row in rows {
            let key = <[u8; 16]>::try_from(&*row).map_err(|_| Problem::Damaged)?;
            let Some(cookie) = new.remove(&key) else {
                self.remove_cookie(&row)?;
                continue;
            };
            let plain = self.plain(COOKIE, &row)?.ok_or(Problem::Damaged)?;
            if Cookie::from_bytes(&plain).as_ref() != Some(cookie) {
                self.put_cookie(&row, cookie)?;
            }
        }
        for (row, cookie) in new {
            self.put_cookie(&row, cookie)?;
        }
        Ok(())
    }

    fn put_or_delete(
        &self,
        kind: &'static str,
        record: &impl Record,
        delete: bool,
    ) -> Result<(), Problem> {
        if delete {
            self.delete(kind, &[])
        } else {
            self.put(kind, &[], record.to_bytes())
        }
    }

    fn put(&self, kind: &'static str, row: &[u8], record: Vec<u8>) -> Result<(), Problem> {
        let place = Place {
            table: kind,
            id: self.id,
            row,
            version: self.change.cast_unsigned(),
        };
        let sealed = self.seal.seal(place, record);
        let sql = "INSERT INTO record (session, kind, row, version, sealed)
                   VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT DO UPDATE SET version = excluded.version, sealed = excluded.sealed";
        self.connection.prepare_cached(sql)?.execute(params![
            self.head.row,
            kind,
            row,
            self.change,
            sealed
        ])?;
        Ok(())
    }

    fn delete(&self, kind: &'static str, row: &[u8]) -> Result<(), Problem> {
        let sql = "DELETE FROM record WHERE session = ?1 AND kind = ?2 AND row = ?3";
        self.connection
            .prepare_cached(sql)?
            .execute(params![self.head.row, kind, row])?;
        Ok(())
    }

    fn raw(&self, kind: &str, row: &[u8]) -> Result<Option<(i64, Vec<u8>)>, Problem> {
        let sql =
            "SELECT version, sealed FROM record WHERE session = ?1 AND kind = ?2 AND row = ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row(params![self.head.row, kind, row], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
        Ok(found.optional()?)
    }

    fn plain(&self, kind: &'static str, row: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Problem> {
        let Some((version, sealed)) = self.raw(kind, row)? else {
            return Ok(None);
        };
        read::open(self.seal, self.id, kind, row, version, &sealed).map(Some)
    }
}
