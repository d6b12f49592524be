//! The store in SQLite.

use std::{path::PathBuf, time::Duration};

use super::{
    Change, Changes, Committed, Durability, Error, Generation, Lease, SessionId, Stored, key,
};

/// A store in a SQLite database; clones are the same handle.
#[derive(Clone, Debug)]
pub enum Sqlite {}

impl Sqlite {
    pub(super) fn open(
        path: PathBuf,
        _: key::Source,
        _: Option<PathBuf>,
        _: Duration,
    ) -> Result<Self, Error> {
        let place = path.display().to_string();
        let source = "not in this build".into();
        Err(Error::Open { place, source })
    }

    pub(super) async fn load(&self, _: &SessionId) -> Result<Option<Stored>, Error> {
        match *self {}
    }

    pub(super) async fn list(&self) -> Result<Vec<SessionId>, Error> {
        match *self {}
    }

    pub(super) async fn commit(
        &self,
        _: &SessionId,
        _: Generation,
        _: Change,
        _: Durability,
    ) -> Result<Committed, Error> {
        match *self {}
    }

    pub(super) async fn previous(&self, _: &SessionId) -> Result<Option<Stored>, Error> {
        match *self {}
    }

    pub(super) async fn forget(&self, _: &SessionId) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn writable(&self) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn lease(&self, _: &SessionId) -> Result<Lease, Error> {
        match *self {}
    }

    pub(super) fn changes(&self) -> Changes {
        match *self {}
    }

    pub(super) fn fingerprint(&self, _: &str, _: &[u8]) -> String {
        match *self {}
    }

    pub(super) async fn flush(&self) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn close(&self) -> Result<(), Error> {
        match *self {}
    }
}
