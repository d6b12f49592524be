//! The key of a store: 32 random bytes as base64, from a file that this module makes, or as text from elsewhere.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use super::Error;
use crate::secret::Secret;

/// A key file holds 44 characters; a larger one is another file.
const LARGEST: u64 = 1024;

/// Where the key comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of mode 0600; made when the store is empty and it does not exist.
    File(PathBuf),
    /// The text of another source, and how that is called in messages (`env:NAME`).
    Text { place: String, text: Secret },
}

// === impl Source ===

impl Source {
    /// Returns how the source is called in messages.
    pub(super) fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text { place, .. } => place.clone(),
        }
    }

    /// Returns the key; `None` if its file does not exist.
    pub(super) fn load(&self) -> Result<Option<Secret<[u8; 32]>>, Error> {
        match self {
            Self::Text { place, text } => parse(place, text).map(Some),
            Self::File(path) => read(path),
        }
    }

    /// Returns the key, and makes its file if there is none.
    pub(super) fn load_or_make(&self) -> Result<Secret<[u8; 32]>, Error> {
        if let Some(key) = self.load()? {
            return Ok(key);
        }
        let Self::File(path) = self else {
            return Err(Error::NoKey(self.place()));
        };
        make(path)?;
        // Another process may have been faster: its key counts.
        read(path)?.ok_or_else(|| problem(path, "was removed while it was read"))
    }
}

/// While a file's key is replaced: the file of the new one.
const NEXT: &str = ".next";

impl Source {
    /// Returns the file in which the next key lies while it replaces this one.
    pub(super) fn next_key(&self) -> Option<PathBuf> {
        let Self::File(path) = self else { return None };
        // The file itself, if the name is a link.
        let mut name = fs::canonicalize(path)
            .unwrap_or_else(|_| path.clone())
            .into_os_string();
        name.push(NEXT);
        Some(name.into())
    }

    /// Returns the next key, if it is there and readable.
    pub(super) fn load_next(&self) -> Option<Secret<[u8; 32]>> {
        read(&self.next_key()?).ok()?
    }

    /// Writes a new key beside this one, and to the disk; what an earlier attempt has left is replaced.
    pub(super) fn make_next(&self) -> Result<Secret<[u8; 32]>, Error> {
        let next = self
            .next_key()
            .ok_or_else(|| Error::KeyElsewhere(self.place()))?;
        self.drop_next();
        make(&next)?;
        read(&next)?.ok_or_else(|| problem(&next, "was removed while it was read"))
    }

    /// Puts the next key in the place of this one.
    pub(super) fn adopt_next(&self) -> Result<(), Error> {
        let Some(next) = self.next_key() else {
            return Ok(());
        };
        let path = next.with_extension("");
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        fs::rename(&next, &path)
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(|e| problem(&path, &format!("cannot be replaced: {e}")))
    }

    /// Removes the next key, if there is one.
    pub(super) fn drop_next(&self) {
        if let Some(next) = self.next_key() {
            fs::remove_file(next).ok();
        }
    }
}

/// Returns a new key.
pub fn random() -> Secret<[u8; 32]> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).expect("the system's random source must answer");
    Secret::new(key)
}

/// Returns a new key as its text.
pub fn generate() -> Secret {
    Secret::new(base64::engine::general_purpose::STANDARD.encode(random().expose()))
}

/// Parses a key: 32 bytes as base64 of either alphabet, with or without padding, or as 64 hexadecimal digits.
pub fn parse(place: &str, text: &Secret) -> Result<Secret<[u8; 32]>, Error> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = text.expose().trim();
    let url_safe = text.contains(['-', '_']);
    let alphabet = if url_safe { &URL_SAFE } else { &STANDARD };
    let bytes = if text.len() == 64 {
        unhex(text)
    } else {
        GeneralPurpose::new(alphabet, LENIENT).decode(text).ok()
    };
    let bytes = bytes.map(Zeroizing::new).ok_or_else(|| Error::Key {
        place: place.to_owned(),
        problem: "is neither base64 nor hexadecimal".to_owned(),
    })?;
    let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| Error::Key {
        place: place.to_owned(),
        problem: format!("has {} bytes instead of 32", bytes.len()),
    })?;
    Ok(Secret::new(key))
}

/// Makes a key file with a new key, unless there is one.
///
/// It is written under another name and linked: whoever sees the file sees all of it, and of two processes that
/// make it at once one makes it.
pub fn make(path: &Path) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    super::private_folder(folder).map_err(|e| problem(folder, &format!("cannot be made: {e}")))?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}.new", rand_u64()));
    let draft = PathBuf::from(name);
    let made = write(&draft)
        .and_then(|()| fs::hard_link(&draft, path))
        .and_then(|()| File::open(folder)?.sync_all());
    // The draft may not have come to be; what counts is the link.
    fs::remove_file(&draft).ok();
    match made {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(problem(path, &format!("cannot be made: {e}")))
        }
        _ => Ok(()),
    }
}

fn write(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(generate().expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn read(path: &Path) -> Result<Option<Secret<[u8; 32]>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(problem(path, &format!("cannot be read: {e}"))),
    };
    let unreadable = |e: io::Error| problem(path, &format!("cannot be read: {e}"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            let looser = format!("can be read by others (mode {mode:04o})");
            return Err(problem(path, &looser));
        }
    }
    let mut text = String::new();
    file.take(LARGEST)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    parse(&path.display().to_string(), &Secret::new(text)).map(Some)
}

fn problem(path: &Path, problem: &str) -> Error {
    Error::Key {
        place: path.display().to_string(),
        problem: problem.to_owned(),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

fn rand_u64() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source must answer");
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_key() {
        let key = |text: &str| parse("env:K", &text.into()).map(|key| key.expose()[0]);
        let zeros = "A".repeat(43);
        let hex = "ff".repeat(32);
        let mixed = format!("-_{}", "A".repeat(41));
        for (text, first) in [
            (format!("{zeros}=\n"), 0),
            (zeros, 0),
            (hex, 0xff),
            (mixed, 0xfb),
        ] {
            assert_eq!(key(&text).unwrap(), first, "{text}");
        }
        for text in [
            "",
            "hunter2",
            &"A".repeat(42),
            &"G".repeat(64),
            &"zz".repeat(32),
        ] {
            let error = key(text).unwrap_err();
            assert!(matches!(error, Error::Key { .. }), "{text}: {error}");
            assert!(error.to_string().contains("env:K") && error.hint().is_some());
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }

    #[test]
    fn a_key_file_is_made_once_and_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("certs/store.key");
        let source = Source::File(path.clone());
        assert!(source.load().unwrap().is_none());
        let keys: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| source.load_or_make().unwrap()))
                .collect();
            all.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(fs::read_dir(dir.path().join("certs")).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let error = source.load().unwrap_err();
            assert!(error.to_string().contains("mode 0640"), "{error}");
            assert!(error.hint().unwrap().contains("chmod 600"));
        }
    }
}
