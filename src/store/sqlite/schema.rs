//! Opening a database: its file, its settings, its tables, and the check that the key is its key.
//!
//! Nothing is changed in a file that is no store of ours, or one of a later version, or whose key is not there.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{
    super::{Error, key, private_folder, seal::Seal},
    keys::Meta,
    rekey,
};

/// "stay": tells our files from other SQLite databases (`PRAGMA application_id`).
const APPLICATION: i64 = 0x7374_6179;

/// Before it, two processes that reset the WAL could corrupt a database (SQLite 3.51.3, "WAL-reset bug").
const SQLITE_FLOOR: i32 = 3_051_003;

/// The steps from an empty file to the present schema; a store of version n has taken the first n. A later version
/// adds a step and never changes one.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) STRICT;
    INSERT INTO meta VALUES ('heartbeat', 0);

    -- Small, since every commit writes it. A row is never deleted: its generation must not come again.
    -- `change` counts the commits of the whole store; `previous` says whether there is something to go back to.
    CREATE TABLE session (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        client TEXT,
        generation INTEGER NOT NULL,
        change INTEGER NOT NULL,
        previous INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX session_by_name ON session (name, client);
    CREATE INDEX session_by_change ON session (change);

    -- kind: grant, notes, cookie; previous (generation and grant), before (cookies as they were then).
    CREATE TABLE record (
        session INTEGER NOT NULL,
        kind TEXT NOT NULL,
        row BLOB NOT NULL,
        version INTEGER NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (session, kind, row)
    ) STRICT, WITHOUT ROWID;
", "
    -- How many keys the store has had, and since when it has its present one, in seconds.
    INSERT INTO meta VALUES ('epoch', 0), ('keyed', unixepoch());
"];

/// One opening at a time in this process: closing any descriptor of a database file drops all of its POSIX locks, so
/// the file must not be made (opened and closed) by one thread while another has just begun to use it.
static OPENING: Mutex<()> = Mutex::new(());

/// An open store.
#[derive(Debug)]
pub(super) struct Opened {
    /// The file, without symbolic links: SQLite puts the WAL beside it.
    pub(super) path: PathBuf,
    pub(super) writer: Connection,
    pub(super) reader: Connection,
    pub(super) seal: Seal,
}

/// Opens the store at a path; makes it if there is none, and the key's file if the store is empty.
pub(super) fn open(path: &Path, key: &key::Source, busy: Duration) -> Result<Opened, Error> {
    if rusqlite::version_number() < SQLITE_FLOOR {
        let old = format!("SQLite {} is too old", rusqlite::version());
        return Err(failed(path, old));
    }
    let _one = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = make_file(path)?;
    let mut writer = connect(&path, busy)?;
    let version = version(&writer, &path)?;
    use_wal(&writer, busy).map_err(|e| failed(&path, e))?;
    set_up(&writer).map_err(|e| failed(&path, e))?;
    let seal = prepare(&mut writer, &path, key, version)?;
    let reader = connect(&path, busy)?;
    reader
        .pragma_update(None, "query_only", "ON")
        .map_err(|e| failed(&path, e))?;
    // SQLite makes these with the mode of the database; older ones may have another.
    for suffix in ["-wal", "-shm"] {
        tighten(&beside(&path, suffix))?;
    }
    Ok(Opened {
        path,
        writer,
        reader,
        seal,
    })
}

/// Returns the path with something added to the file's name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes the file if there is none; its folder too.
fn make_file(path: &Path) -> Result<PathBuf, Error> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    private_folder(folder).map_err(|e| failed(folder, e))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        // The name itself must survive a loss of power.
        Ok(_) => fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|e| failed(folder, e))?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(failed(path, e)),
    }
    let path = fs::canonicalize(path).map_err(|e| failed(path, e))?;
    tighten(&path)?;
    Ok(path)
}

/// Takes what others may do with a file away. By name: see [`OPENING`].
fn tighten(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = match fs::metadata(path) {
            Ok(metadata) => metadata.permissions().mode(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(failed(path, e)),
        };
        if mode & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))
                .map_err(|e| failed(path, e))?;
        }
    }
    Ok(())
}

fn connect(path: &Path, busy: Duration) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| failed(path, e))?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.busy_timeout(busy).map_err(|e| failed(path, e))?;
    Ok(connection)
}

/// Returns the schema version of our store, 0 for an empty file.
fn version(connection: &Connection, path: &Path) -> Result<i64, Error> {
    let sql = "SELECT (SELECT application_id FROM pragma_application_id),
                      (SELECT user_version FROM pragma_user_version),
                      (SELECT count(*) FROM sqlite_schema)";
    let row = connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let foreign = || Error::Foreign(path.display().to_string());
    let known = i64::try_from(MIGRATIONS.len()).expect("there are few migrations");
    match row {
        Ok((0i64, 0i64, 0i64)) => Ok(0),
        Ok((APPLICATION, version, _)) if version > known => Err(Error::Newer(version)),
        Ok((APPLICATION, version, _)) if version > 0 => Ok(version),
        Ok(_) => Err(foreign()),
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Err(foreign()),
        Err(e) => Err(failed(path, e)),
    }
}

/// Switches to the write-ahead log; two processes that do so at once are told "busy" without a wait.
fn use_wal(connection: &Connection, busy: Duration) -> rusqlite::Result<()> {
    let until = Instant::now() + busy;
    loop {
        let mode = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => return Err(rusqlite::Error::InvalidQuery),
            Err(e)
                if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < until =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(e) => return Err(e),
        }
    }
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted is overwritten where that costs no further page.
    connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    // A log that once grew large is cut to this when it starts anew.
    connection.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(()))
}

/// Brings the tables up to date and proves the key, all or nothing.
fn prepare(
    writer: &mut Connection,
    path: &Path,
    key: &key::Source,
    seen: i64,
) -> Result<Seal, Error> {
    let fail = |e| failed(path, e);
    // With nothing to make, a store on a full disk, or one that another process writes, opens all the same.
    if seen == i64::try_from(MIGRATIONS.len()).expect("there are few migrations")
        && !is_empty(writer).map_err(fail)?
    {
        return prove(writer, path, key);
    }
    let transaction = writer
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(fail)?;
    // Another process may have been here since.
    let from = usize::try_from(version(&transaction, path)?).unwrap_or(0);
    for step in &MIGRATIONS[from..] {
        transaction.execute_batch(step).map_err(fail)?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION)
        .and_then(|()| transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64))
        .map_err(fail)?;
    let seal = prove(&transaction, path, key)?;
    transaction.commit().map_err(fail)?;
    Ok(seal)
}

/// Proves that the key is the store's. A store in which nothing was ever stored takes the key there is, and has it
/// made if there is none.
fn prove(connection: &Connection, path: &Path, key: &key::Source) -> Result<Seal, Error> {
    let fail = |e| failed(path, e);
    let meta = Meta::read(connection).map_err(fail)?;
    let is_empty = is_empty(connection).map_err(fail)?;
    if let Some(seal) = meta.seal(key)? {
        return Ok(seal);
    }
    if is_empty {
        let seal = Seal::new(&key.load_or_make()?).at(meta.epoch + 1);
        rekey::write_key(connection, &seal, SystemTime::now()).map_err(fail)?;
        return Ok(seal);
    }
    match key.load()? {
        Some(_) => Err(Error::WrongKey(path.display().to_string())),
        None => Err(Error::NoKey(format!("{} does not exist", key.place()))),
    }
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM session)", (), |row| {
        row.get(0)
    })
}

fn failed(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Open {
        place: path.display().to_string(),
        source: source.into(),
    }
}
