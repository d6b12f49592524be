//! Firefox as it is found in a home: a profile with cookies, as its database has them.

use std::path::Path;

use rusqlite::Connection;

/// A profile in a home.
pub struct Firefox {
    database: Connection,
}

// === impl Firefox ===

impl Firefox {
    /// Makes the default profile of a home; the browser has its database open from now on.
    pub fn in_home(home: &Path) -> Self {
        let root = home.join(".mozilla/firefox");
        let profile = root.join("abcd1234.default-esr");
        std::fs::create_dir_all(&profile).expect("a folder");
        let ini = "[Install1]\nDefault=abcd1234.default-esr\n\n[Profile0]\nName=default-esr\nIsRelative=1\n\
                   Path=abcd1234.default-esr\n";
        std::fs::write(root.join("profiles.ini"), ini).expect("write");
        let database = Connection::open(profile.join("cookies.sqlite")).expect("a database");
        database
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA user_version = 17;
                 CREATE TABLE moz_cookies (id INTEGER PRIMARY KEY, originAttributes TEXT NOT NULL DEFAULT '',
                 name TEXT, value TEXT, host TEXT, path TEXT, expiry INTEGER, lastAccessed INTEGER,
                 creationTime INTEGER, isSecure INTEGER, isHttpOnly INTEGER, inBrowserElement INTEGER DEFAULT 0,
                 sameSite INTEGER DEFAULT 0, schemeMap INTEGER DEFAULT 0,
                 isPartitionedAttributeSet INTEGER DEFAULT 0, updateTime INTEGER,
                 CONSTRAINT moz_uniqueid UNIQUE (name, host, path, originAttributes));",
            )
            .expect("a table");
        Self { database }
    }

    /// Signs in: the browser has this cookie now.
    pub fn set(&self, host: &str, name: &str, value: &str) {
        let end = (super::now() + 86_400) * 1000;
        self.database
            .execute(
                "INSERT OR REPLACE INTO moz_cookies (name, value, host, path, expiry, isSecure, isHttpOnly)
                 VALUES (?1, ?2, ?3, '/', ?4, 1, 1)",
                (name, value, host, i64::try_from(end).expect("a time")),
            )
            .expect("a row");
    }

    /// Signs out.
    pub fn clear(&self) {
        self.database
            .execute("DELETE FROM moz_cookies", [])
            .expect("no rows");
    }
}
