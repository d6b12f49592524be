//! Files of the CA's folder: written whole or not at all, the key for its owner's eyes only.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use super::{Error, leaf};

/// Makes the folder and those above it, closed to others; one that exists stays as it is.
pub(super) fn make_folder(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::io("make the folder", path, source))
}

/// Holds the folder for one process while it makes files there; freed when dropped, also by death.
pub(super) fn lock(folder: &Path) -> Result<File, Error> {
    let fail = |source| Error::io("lock the folder", folder, source);
    let file = File::open(folder).map_err(fail)?;
    match file.lock() {
        // Some network file systems know no locks: two first starts at once are then the user's own care.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(error) => Err(fail(error)),
        Ok(()) => Ok(file),
    }
}

pub(super) fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists()
        .map_err(|source| Error::io("look for", path, source))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::io("read", path, source))
}

/// Refuses a file that others may read or write. A symbolic link is followed: mounted secrets are links.
pub(super) fn only_owner(path: &Path) -> Result<(), Error> {
    let metadata = fs::metadata(path).map_err(|source| Error::io("read", path, source))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::Mode {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Writes a file under another name, brings it to the disk, and gives it its name: whoever looks sees the old file or
/// the whole new one.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let fail = |source| Error::io("write", path, source);
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let suffix = u64::from_be_bytes(leaf::serial()[8..].try_into().expect("8 of 16 bytes"));
    let temporary = folder.join(format!(".{name}.{suffix:016x}"));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(folder)?.sync_all());
    written.map_err(|source| {
        // It may not be there, and there is nothing to do about it if it stays.
        fs::remove_file(&temporary).ok();
        fail(source)
    })
}
