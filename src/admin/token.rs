//! The admin side's token, kept in a file that only the user can read; made at the first start, or when the file was
//! removed.
//!
//! Who may read the file may administer the proxy. A client can also let the proxy prove that it has the token,
//! before it sends the token: whoever else took the port learns nothing.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest, hmac};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The field in which a client asks for a proof.
pub const CHALLENGE: &str = "staysigned-challenge";
/// The field in which the proxy proves that it has the token: HMAC-SHA256 of the challenge, in hexadecimal.
pub const PROOF: &str = "staysigned-proof";

/// The token; compared in constant time.
#[derive(Clone, Debug)]
pub struct Token(Secret);

/// How long one is: 32 bytes as base64.
const LETTERS: usize = 43;

/// Returns the token's file in a state folder.
pub fn file(state: &Path) -> PathBuf {
    state.join("admin.token")
}

// === impl Token ===

impl Token {
    /// Takes the one that is kept, or makes one. Two proxies with one state folder share it.
    pub(super) fn kept(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            // One that others may have read, or have put there, is none.
            Ok(meta) if meta.is_file() && meta.mode() & 0o077 == 0 && meta.uid() == own() => {
                let token = Self::read(path)?;
                if token.0.expose().len() == LETTERS {
                    return Ok(token);
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let token = Self::draw();
        token.write(path)?;
        Ok(token)
    }

    /// Draws a new one: 256 bits, in letters that need no quoting anywhere.
    pub fn draw() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *bytes).expect("the system's random source must answer");
        Self(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes)))
    }

    /// Reads the one of a running proxy.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = Zeroizing::new(fs::read_to_string(path)?);
        Ok(Self(Secret::new(text.trim().to_owned())))
    }

    /// Writes it in the place of an older one.
    fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let new = path.with_extension(format!("token.{}", std::process::id()));
        // Left by a process of the same number that died here; never followed, never shared.
        drop(fs::remove_file(&new));
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(self.0.expose().as_bytes())?;
        file.write_all(b"\n")?;
        fs::rename(&new, path)
    }

    /// Returns it, to be sent.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    pub(super) fn is(&self, given: &[u8]) -> bool {
        // Digests have one length, so that the time does not tell that of the token either.
        let digest = |bytes: &[u8]| digest::digest(&digest::SHA256, bytes);
        let (own, given) = (digest(self.0.expose().as_bytes()), digest(given));
        verify_slices_are_equal(own.as_ref(), given.as_ref()).is_ok()
    }

    /// Returns the proof for a challenge.
    pub fn proof(&self, challenge: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose().as_bytes());
        let tag = hmac::sign(&key, challenge);
        tag.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }
}

fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_kept_in_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder.path().join("state"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let first = Token::kept(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let again = Token::kept(&path).unwrap();
        assert!(again.is(first.expose().as_bytes()));
        assert_eq!(Token::read(&path).unwrap().expose(), first.expose());

        // One that others could read, or that was cut off, is replaced.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let second = Token::kept(&path).unwrap();
        assert!(!second.is(first.expose().as_bytes()));
        assert_eq!(mode(&path), 0o600);
        fs::write(&path, "").unwrap();
        assert_eq!(Token::kept(&path).unwrap().expose().len(), LETTERS);
    }

    #[test]
    fn a_proof_needs_the_token() {
        let (one, other) = (Token::draw(), Token::draw());
        assert!(one.is(one.expose().as_bytes()) && !one.is(other.expose().as_bytes()));
        assert!(!one.is(b""));
        assert_eq!(one.proof(b"c"), one.proof(b"c"));
        assert_ne!(one.proof(b"c"), one.proof(b"d"));
        assert_ne!(one.proof(b"c"), other.proof(b"c"));
        assert!(!format!("{one:?}").contains(one.expose()));
    }
}
