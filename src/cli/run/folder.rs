//! The private folder of one run: bundles and settings files for its tools, gone when the run ends.

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A folder that only its owner may enter.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    kept: bool,
}

// === impl Folder ===

impl Folder {
    /// Makes a folder for one run; it goes when this value does.
    pub fn temporary() -> io::Result<Self> {
        let base = env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute() && path.is_dir())
            .unwrap_or_else(env::temp_dir);
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).expect("the system's random source must answer");
        let name = format!("staysigned-run-{:016x}", u64::from_be_bytes(random));
        let path = base.join(name);
        // Fails if somebody else was there first.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, kept: false })
    }

    /// Uses a folder that stays, for `env`: its lines are used after this process has ended.
    pub fn kept(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        let path = path.canonicalize()?;
        Ok(Self { path, kept: true })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, in the place of one that may be there, and returns its path.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        let new = self.path.join(format!(".{name}.{}", std::process::id()));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&new)?.write_all(content)?;
        fs::rename(&new, &path)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            // It holds nothing secret; what cannot be removed is the system's to clean.
            fs::remove_dir_all(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_private_and_goes() {
        let folder = Folder::temporary().unwrap();
        let path = folder.path().to_owned();
        let file = folder.write("a.pem", b"one").unwrap();
        folder.write("a.pem", b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        drop(folder);
        assert!(!path.exists());
    }
}
