//! What is SQLite's own beside the conformance suite.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use crate::{
    grant::Generation,
    store::{Config, Durability, Error, SessionId, Store, conformance::*, key},
};

mod opening;
mod processes;
mod rekey;
mod tampering;
mod trouble;

/// A folder with a store that may be opened any number of times.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn db(&self) -> PathBuf {
        self.0.path().join("test.db")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("store.key")
    }

    fn open(&self) -> Store {
        Store::open(self.config()).unwrap()
    }

    fn config(&self) -> Config {
        config(self.0.path())
    }

    /// A connection that knows nothing of stores.
    fn raw(&self) -> Connection {
        Connection::open(self.db()).unwrap()
    }
}

fn config(folder: &Path) -> Config {
    let key = key::Source::File(folder.join("store.key"));
    Config::sqlite(folder.join("test.db"), key)
}

fn other() -> SessionId {
    SessionId::new("other", Some("alice"))
}
