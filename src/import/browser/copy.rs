//! A database of a browser that may be writing to it: copied with its log to a private folder, opened there, and the
//! folder removed at once.
//!
//! The browser's locks are not asked: Firefox holds its own for as long as it runs. Copies count only if nothing
//! changed while they were made, the log included, so that they are what a crash at that moment would have left;
//! SQLite makes a database of that as it would after a crash.

use std::{
    fs::{self, DirBuilder, File, Metadata},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use zeroize::Zeroizing;

use super::{Error, Places};

/// A database of cookies that is larger is none.
pub(super) const LARGEST: u64 = 64 * 1024 * 1024;

/// The logs beside a database. The index of the first (`-shm`) is made anew from it.
const BESIDE: [&str; 2] = ["-wal", "-journal"];

/// How often a copy is tried while the browser writes, and the wait between.
const TRIES: u32 = 20;
const WAIT: Duration = Duration::from_millis(50);

/// A folder that nobody else can read, removed with all in it when this is dropped.
#[derive(Debug)]
struct Private(PathBuf);

/// Opens a copy of a database.
pub(super) fn open(path: &Path, places: &Places) -> Result<Connection, Error> {
    let private = private(places).map_err(|error| Error::File {
        path: path.to_owned(),
        why: format!("there is no place for a copy of it: {error}"),
    })?;
    let place = private.0.join("copy");
    for attempt in 0.. {
        if copied(path, &place)? {
            break;
        }
        if attempt == TRIES {
            return Err(Error::Busy {
                path: path.to_owned(),
            });
        }
        thread::sleep(WAIT);
    }
    let damaged = |error: rusqlite::Error| Error::Damaged {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&place, flags).map_err(damaged)?;
    // Alone with it: no index of the log on the disk.
    connection
        .execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;
             PRAGMA cell_size_check = ON; BEGIN;",
        )
        .map_err(damaged)?;
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
            row.get::<_, i64>(0)
        })
        .map_err(damaged)?;
    // SQLite has the files open and needs their names no more.
    drop(private);
    Ok(connection)
}

/// Copies the database with its log; `false`: it changed meanwhile.
fn copied(from: &Path, to: &Path) -> Result<bool, Error> {
    let files = || {
        let beside = BESIDE.iter().map(|end| (with(from, end), with(to, end)));
        std::iter::once((from.to_owned(), to.to_owned())).chain(beside)
    };
    let before: Vec<_> = files()
        .map(|(from, _)| seen(&from))
        .collect::<Result<_, _>>()?;
    if before.first().is_none_or(Option::is_none) {
        return Err(failed(from, &io::ErrorKind::NotFound.into()));
    }
    for ((from, to), seen) in files().zip(&before) {
        match seen {
            Some(_) => copy(&from, &to)?,
            None => match fs::remove_file(&to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(&to, &error));
                }
                _ => {}
            },
        }
    }
    let after: Vec<_> = files()
        .map(|(from, _)| seen(&from))
        .collect::<Result<_, _>>()?;
    Ok(before == after)
}

/// What a file is told apart from its later self by.
type Seen = (u64, u64, u64, i64, i64);

fn seen(path: &Path) -> Result<Option<Seen>, Error> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, &error)),
    };
    check(path, &meta)?;
    Ok(Some((
        meta.dev(),
        meta.ino(),
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec(),
    )))
}

fn check(path: &Path, meta: &Metadata) -> Result<(), Error> {
    let path = path.to_owned();
    match meta.is_file() {
        true if meta.len() > LARGEST => Err(Error::TooLarge { path }),
        true => Ok(()),
        false => Err(Error::NoFile { path }),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let bytes = match read(from) {
        Ok(bytes) => bytes,
        // A log that is gone between two looks is seen by the second one.
        Err(Error::File { .. }) if !from.exists() => return Ok(()),
        Err(error) => return Err(error),
    };
    let write = || {
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(to)?;
        file.write_all(&bytes)
    };
    write().map_err(|error: io::Error| failed(to, &error))
}

/// Reads a file of a profile, as far as one can be that large.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(Vec::new());
    // A pipe in its place would never be opened.
    let meta = fs::metadata(path).map_err(|error| failed(path, &error))?;
    check(path, &meta)?;
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(path, &error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

fn private(places: &Places) -> io::Result<Private> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut last = io::ErrorKind::NotFound.into();
    for place in places.temporary().filter(|place| place.is_dir()) {
        let path = place.join(format!("staysigned-{name}"));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(Private(path)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::File {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

// === impl Private ===

impl Drop for Private {
    fn drop(&mut self) {
        // What cannot be removed here cannot be removed at all.
        let _ = fs::remove_dir_all(&self.0);
    }
}
