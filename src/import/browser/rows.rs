//! Rows of a table, as many as a damaged database gives.

use std::{collections::HashSet, path::Path};

use rusqlite::{Connection, Row, types::ValueRef};

use super::Error;

/// The columns of a table, and those of them that are read.
pub(super) struct Table<'a> {
    pub(super) connection: &'a Connection,
    pub(super) path: &'a Path,
    pub(super) name: &'static str,
}

// === impl Table ===

impl Table<'_> {
    /// Calls `each` for every row that can be read, with the values of `columns`; a column that this browser does not
    /// have is null, and of two names with `|` between the one that there is counts. Returns whether rows were lost.
    pub(super) fn read(
        &self,
        columns: &[&str],
        mut each: impl FnMut(&Row<'_>),
    ) -> Result<bool, Error> {
        let damaged = |error: &rusqlite::Error| Error::Damaged {
            path: self.path.to_owned(),
            why: error.to_string(),
        };
        let there = self.columns().map_err(|error| damaged(&error))?;
        if there.is_empty() {
            return Err(Error::Damaged {
                path: self.path.to_owned(),
                why: format!("it has no table {}", self.name),
            });
        }
        let columns: Vec<&str> = columns
            .iter()
            .map(|names| {
                let mut names = names.split('|');
                names.find(|name| there.contains(*name)).unwrap_or("NULL")
            })
            .collect();
        let mut seen = HashSet::new();
        let mut scan = |order: &str| -> rusqlite::Result<()> {
            let sql = format!(
                "SELECT {}, rowid FROM {} ORDER BY rowid {order}",
                columns.join(", "),
                self.name
            );
            let mut statement = self.connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if seen.insert(row.get::<_, i64>(columns.len())?) {
                    each(row);
                }
            }
            Ok(())
        };
        let Err(error) = scan("ASC") else {
            return Ok(false);
        };
        // Behind the page that is damaged there may be others: from the other end.
        let _ = scan("DESC");
        match seen.is_empty() {
            true => Err(damaged(&error)),
            false => Ok(true),
        }
    }

    fn columns(&self) -> rusqlite::Result<HashSet<String>> {
        let mut statement = self
            .connection
            .prepare("SELECT name FROM pragma_table_info(?1)")?;
        let names = statement.query_map([self.name], |row| row.get(0))?;
        names.collect()
    }
}

/// Returns a value as bytes, be it a text or a blob; `None`: it is neither.
pub(super) fn bytes(row: &Row<'_>, column: usize) -> Option<Vec<u8>> {
    match row.get_ref(column).ok()? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    }
}

pub(super) fn text(row: &Row<'_>, column: usize) -> Option<String> {
    String::from_utf8(bytes(row, column)?).ok()
}

/// Returns a number; 0 for anything else.
pub(super) fn number(row: &Row<'_>, column: usize) -> i64 {
    match row.get_ref(column) {
        Ok(ValueRef::Integer(number)) => number,
        Ok(ValueRef::Real(number)) => number as i64,
        _ => 0,
    }
}
