//! How Chromium seals the values of cookies on Linux and macOS.
//!
//! Three letters say how: `v10` with a password that everybody knows (on macOS the keychain's), `v11` with the
//! keyring's; on macOS, without them, not at all. AES-128-CBC, keys by PBKDF2 with HMAC-SHA-1; nothing proves the
//! text but, in newer databases, the hash of the host at its beginning.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use zeroize::Zeroizing;

use super::{Ask, Browser, Keyring};
use crate::{import::cipher, secret::Secret};

const SALT: &[u8] = b"saltysalt";
const IV: [u8; 16] = [b' '; 16];
const HASH: usize = 32;
const ROUNDS_ON_MAC: NonZeroU32 = NonZeroU32::new(1003).expect("not zero");

/// The password of `v10`, and what some versions take in its place by mistake.
const PUBLIC: [&str; 2] = ["peanuts", ""];

/// Why a value could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("is encrypted for Chrome alone (v20)")]
    AppBound,
    #[error("is encrypted by the desktop's portal (v12)")]
    Portal,
    #[error("is encrypted in a way that is not known")]
    Unknown,
    #[error("is encrypted (v11), and the keyring gave no password")]
    NoPassword,
    #[error("does not open with the password that there is")]
    WrongPassword,
    #[error("is damaged")]
    Damaged,
    #[error("was written for another host")]
    Foreign,
}

type Key = Zeroizing<[u8; 16]>;

/// The keys for one profile; those of the keyring are fetched when they are needed.
pub(super) struct Keys<'a> {
    browser: Browser,
    keyring: &'a Keyring,
    password: Option<&'a Secret>,
    hashed: bool,
    mac: bool,
    public: Vec<Key>,
    own: Option<Vec<Key>>,
}

// === impl Keys ===

impl<'a> Keys<'a> {
    pub(super) fn new(ask: &Ask<'a>, password: Option<&'a Secret>, hashed: bool) -> Self {
        let mac = ask.places.is_mac();
        Self {
            browser: ask.browser,
            keyring: ask.keyring,
            password,
            hashed,
            mac,
            public: PUBLIC.map(|password| key(password, mac)).to_vec(),
            own: None,
        }
    }

    /// Opens one value, and proves that it was sealed for this host where that can be proved.
    pub(super) fn open(&mut self, sealed: &[u8], host: &str) -> Result<Secret<Vec<u8>>, Problem> {
        if self.mac && !says_how(sealed) {
            // Sealed by nobody, there.
            return self.proved(sealed, host);
        }
        let (prefix, text) = sealed.split_at_checked(3).ok_or(Problem::Damaged)?;
        let of_keyring = match prefix {
            b"v10" => self.mac,
            b"v11" => true,
            b"v12" => return Err(Problem::Portal),
            b"v20" => return Err(Problem::AppBound),
            _ => return Err(Problem::Unknown),
        };
        if text.is_empty() || !text.len().is_multiple_of(16) {
            return Err(Problem::Damaged);
        }
        if !of_keyring {
            return self.first(&self.public, text, host);
        }
        if self.own.is_none() {
            self.own = Some(self.passwords());
        }
        let own = self.own.as_deref().unwrap_or_default();
        match self.first(own, text, host) {
            Ok(value) => Ok(value),
            // Without a keyring that answers, some versions take the empty password.
            Err(problem) if self.hashed => self.first(&self.public, text, host).map_err(|_| {
                if own.is_empty() {
                    Problem::NoPassword
                } else {
                    problem
                }
            }),
            Err(_) if own.is_empty() => Err(Problem::NoPassword),
            Err(problem) => Err(problem),
        }
    }

    fn passwords(&self) -> Vec<Key> {
        let password = |text: &Secret| key(text.expose(), self.mac);
        match self.password {
            Some(given) => vec![password(given)],
            None => {
                let found = self.keyring.passwords(self.browser, self.mac);
                found.iter().map(password).collect()
            }
        }
    }

    fn first(&self, keys: &[Key], sealed: &[u8], host: &str) -> Result<Secret<Vec<u8>>, Problem> {
        let mut problem = Problem::WrongPassword;
        for key in keys {
            let Some(text) = cipher::open(&**key, &IV, sealed) else {
                continue;
            };
            match self.proved(&text, host) {
                Ok(value) => return Ok(value),
                // The padding was right: with a wrong key it is that once in 256 times.
                Err(foreign) => problem = foreign,
            }
        }
        Err(problem)
    }

    /// Returns a value that is for this host, as far as that can be proved.
    fn proved(&self, text: &[u8], host: &str) -> Result<Secret<Vec<u8>>, Problem> {
        if !self.hashed {
            return Ok(Secret::new(text.to_vec()));
        }
        let hash = digest::digest(&digest::SHA256, host.as_bytes());
        match text.split_at_checked(HASH) {
            Some((found, value)) if verify_slices_are_equal(found, hash.as_ref()).is_ok() => {
                Ok(Secret::new(value.to_vec()))
            }
            Some(_) | None => Err(Problem::Foreign),
        }
    }
}

/// Says whether a value begins with the letters that say how it is sealed.
fn says_how(sealed: &[u8]) -> bool {
    matches!(sealed, [b'v', a, b, ..] if a.is_ascii_digit() && b.is_ascii_digit())
}

fn key(password: &str, mac: bool) -> Key {
    let rounds = if mac { ROUNDS_ON_MAC } else { NonZeroU32::MIN };
    cipher::short_key_of(password, SALT, rounds)
}
