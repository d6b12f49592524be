//! The stores that are put to the suite: another one is a function here and a line in the macro.

use std::time::Duration;

use super::*;

/// Two handles on one store, and what can befall it.
pub(super) struct Pair {
    pub(super) one: Store,
    pub(super) two: Store,
    /// Lets no handle write any more, or again.
    pub(super) refuse: Box<dyn FnMut(bool)>,
    _folder: Option<tempfile::TempDir>,
}

pub(super) fn memory(_: Duration) -> Pair {
    let one = Memory::default();
    let disk = one.clone();
    Pair {
        two: Store::Memory(one.peer()),
        one: Store::Memory(one),
        refuse: Box::new(move |refuse| disk.rough().fill(refuse)),
        _folder: None,
    }
}

/// The limit is the store's own here, not the lease's.
pub(super) fn sqlite(limit: Duration) -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let open = || {
        let key = key::Source::File(folder.path().join("store.key"));
        let config = Config {
            suspended: limit,
            ..Config::sqlite(path.clone(), key)
        };
        Store::open(config).unwrap()
    };
    let (one, two) = (open(), open());
    let other = rusqlite::Connection::open(&path).unwrap();
    Pair {
        one,
        two,
        refuse: Box::new(move |refuse| {
            let sql = if refuse {
                "BEGIN IMMEDIATE"
            } else {
                "ROLLBACK"
            };
            other.execute_batch(sql).unwrap();
        }),
        _folder: Some(folder),
    }
}
