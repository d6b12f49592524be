//! Sealing of records: AES-256-GCM-SIV (RFC 8452), a key for each purpose by HKDF (RFC 5869) from the store's key.
//!
//! The associated data names the place of a record (table, session, client, row, version), so that a record that
//! was moved to another place, or swapped with another, does not open. GCM-SIV forgives a nonce that comes twice,
//! as with a virtual machine that is started again from a snapshot. Not detected, on purpose: a whole store, or a
//! session with all its rows, put back as it once was.

use std::fmt::Write as _;

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf, hmac,
};

use zeroize::Zeroizing;

use super::SessionId;
use crate::secret::Secret;

/// The format of sealed bytes, their first byte: `1 ‖ nonce ‖ ciphertext ‖ tag`.
const FORMAT: u8 = 1;

/// The place of what outlives a key.
const LASTING: &[u8] = b"lasting keys";

/// The length of a tag of AES-GCM-SIV.
const TAG: usize = 16;

/// Seals and opens the records of one store.
#[derive(Debug)]
pub(super) struct Seal {
    check: RandomizedNonceKey,
    records: RandomizedNonceKey,
    rows: hmac::Key,
    prints: hmac::Key,
    keys: hmac::Key,
    lasting: Lasting,
    epoch: i64,
}

/// The keys of what must stay the same when the store's key is replaced: names of rows, fingerprints of what was taken
/// or spent, stand-ins that tools hold. They come from the store's first key and are handed on, sealed.
type Lasting = Secret<[u8; 3 * PART]>;

const PART: usize = 32;

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) table: &'a str,
    pub(super) id: &'a SessionId,
    /// The key of a row among those of its session; empty for the session's own.
    pub(super) row: &'a [u8],
    pub(super) version: u64,
}

/// Sealed bytes that do not open: damaged, moved, or under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open")]
pub(super) struct Broken;

// === impl Seal ===

impl Seal {
    /// The seal of a store that begins with this key.
    pub(super) fn new(key: &Secret<[u8; 32]>) -> Self {
        Self::with(key, None, 0)
    }

    /// The seal of a store with this key, if it is that; `lasting` is what an earlier key has left.
    pub(super) fn proven(
        key: &Secret<[u8; 32]>,
        check: &[u8],
        lasting: Option<&[u8]>,
        epoch: i64,
    ) -> Option<Self> {
        let first = Self::with(key, None, epoch);
        if !first.is_key_of(check) {
            return None;
        }
        let Some(lasting) = lasting else {
            return Some(first);
        };
        let lasting = open(&first.check, LASTING, lasting).ok()?;
        let lasting = Secret::new(<[u8; 3 * PART]>::try_from(&**lasting).ok()?);
        Some(Self::with(key, Some(lasting), epoch))
    }

    /// The seal with another key: what lasts is the same.
    pub(super) fn renewed(&self, key: &Secret<[u8; 32]>) -> Self {
        Self::with(key, Some(self.lasting.clone()), self.epoch + 1)
    }

    /// As the beginning of another store, at a later epoch than this one's.
    pub(super) fn at(self, epoch: i64) -> Self {
        Self { epoch, ..self }
    }

    fn with(key: &Secret<[u8; 32]>, lasting: Option<Lasting>, epoch: i64) -> Self {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"staysigned store");
        let root = salt.extract(key.expose());
        let aead = |purpose: &[u8]| {
            let key = derive(&root, purpose);
            RandomizedNonceKey::new(&AES_256_GCM_SIV, key.expose())
                .expect("32 bytes are a key of AES-256")
        };
        let lasting = lasting.unwrap_or_else(|| {
            let mut all = [0; 3 * PART];
            let purposes: [&[u8]; 3] = [b"rows", b"fingerprints", b"keys"];
            for (part, purpose) in all.chunks_exact_mut(PART).zip(purposes) {
                part.copy_from_slice(derive(&root, purpose).expose());
            }
            Secret::new(all)
        });
        let mac = |part: usize| {
            let key = &lasting.expose()[part * PART..][..PART];
            hmac::Key::new(hmac::HMAC_SHA256, key)
        };
        Self {
            check: aead(b"check"),
            records: aead(b"records"),
            rows: mac(0),
            prints: mac(1),
            keys: mac(2),
            lasting,
            epoch,
        }
    }

    /// Returns how many keys the store had before this one, and openings with another key while it was empty.
    pub(super) fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Returns what outlives the key, sealed with it.
    pub(super) fn sealed_lasting(&self) -> Vec<u8> {
        let mut record = buffer(3 * PART);
        record.extend_from_slice(self.lasting.expose());
        seal(&self.check, LASTING, record)
    }

    /// Seals a record; the buffer is encrypted in place, so that the plain text does not stay in memory.
    pub(super) fn seal(&self, place: Place<'_>, record: Vec<u8>) -> Vec<u8> {
        seal(&self.records, &place.aad(), record)
    }

    /// Opens a record.
    pub(super) fn open(
        &self,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Broken> {
        open(&self.records, &place.aad(), sealed)
    }

    /// Returns a record that only this key opens.
    pub(super) fn key_check(&self) -> Vec<u8> {
        seal(&self.check, b"key check", b"staysigned".to_vec())
    }

    /// Says whether a key-check record was made with this key.
    pub(super) fn is_key_of(&self, check: &[u8]) -> bool {
        open(&self.check, b"key check", check).is_ok()
    }

    /// Returns the key of a cookie's row: a keyed hash, since even the names of cookies say where somebody has an
    /// account; and of the session too, so that equal cookies of two sessions do not look equal.
    pub(super) fn row(&self, id: &SessionId, key: &crate::jar::Key) -> [u8; 16] {
        let mut bytes = Vec::with_capacity(128);
        identity(&mut bytes, id);
        let crate::jar::Key {
            domain,
            path,
            name,
            host_only,
        } = key;
        part(&mut bytes, domain.as_bytes());
        part(&mut bytes, path.as_bytes());
        part(&mut bytes, name);
        part(&mut bytes, &[u8::from(*host_only)]);
        truncated(&self.rows, &bytes)
    }

    /// Returns a key for a purpose outside of the store.
    pub(super) fn key(&self, purpose: &str) -> Secret<[u8; 32]> {
        let tag = hmac::sign(&self.keys, purpose.as_bytes());
        let bytes = tag.as_ref().try_into();
        Secret::new(bytes.expect("HMAC-SHA256 has 32 bytes"))
    }

    pub(super) fn fingerprint(&self, purpose: &str, bytes: &[u8]) -> String {
        let mut message = Vec::with_capacity(purpose.len() + bytes.len() + 8);
        part(&mut message, purpose.as_bytes());
        part(&mut message, bytes);
        let message = Secret::new(message);
        let mut hex = String::with_capacity(32);
        for byte in truncated(&self.prints, message.expose()) {
            write!(hex, "{byte:02x}").expect("a string can be written");
        }
        hex
    }
}

// === impl Place ===

impl Place<'_> {
    fn aad(&self) -> Vec<u8> {
        let Self {
            table,
            id,
            row,
            version,
        } = self;
        let mut bytes = Vec::with_capacity(96);
        part(&mut bytes, table.as_bytes());
        identity(&mut bytes, id);
        part(&mut bytes, row);
        part(&mut bytes, &version.to_le_bytes());
        bytes
    }
}

fn derive(root: &hkdf::Prk, purpose: &[u8]) -> Secret<[u8; 32]> {
    let mut key = [0; 32];
    root.expand(&[purpose], &AES_256_GCM_SIV)
        .and_then(|okm| okm.fill(&mut key))
        .expect("HKDF-SHA256 gives up to 8160 bytes");
    Secret::new(key)
}

fn seal(key: &RandomizedNonceKey, aad: &[u8], mut record: Vec<u8>) -> Vec<u8> {
    let nonce = key
        .seal_in_place_append_tag(Aad::from(aad), &mut record)
        .expect("a record is shorter than 64 GiB, and the system has randomness");
    let mut sealed = Vec::with_capacity(1 + NONCE_LEN + record.len());
    sealed.push(FORMAT);
    sealed.extend_from_slice(nonce.as_ref());
    sealed.append(&mut record);
    sealed
}

fn open(key: &RandomizedNonceKey, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Broken> {
    let Some((&FORMAT, rest)) = sealed.split_first() else {
        return Err(Broken);
    };
    let (nonce, record) = rest.split_at_checked(NONCE_LEN).ok_or(Broken)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Broken)?;
    let mut record = Zeroizing::new(record.to_vec());
    let length = key
        .open_in_place(nonce, Aad::from(aad), &mut record)
        .map_err(|_| Broken)?
        .len();
    record.truncate(length);
    Ok(record)
}

fn truncated(key: &hmac::Key, message: &[u8]) -> [u8; 16] {
    let tag = hmac::sign(key, message);
    let (head, _) = tag
        .as_ref()
        .split_first_chunk()
        .expect("HMAC-SHA256 has 32 bytes");
    *head
}

/// Appends a part with its length, so that no two lists of parts give the same bytes.
fn part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
    bytes.extend_from_slice(part);
}

fn identity(bytes: &mut Vec<u8>, id: &SessionId) {
    part(bytes, id.name.as_bytes());
    match &id.client {
        None => bytes.push(0),
        Some(client) => {
            bytes.push(1);
            part(bytes, client.as_bytes());
        }
    }
}

/// Room for the tag, so that sealing does not move the plain text and leave a copy behind.
pub(super) fn buffer(bytes: usize) -> Vec<u8> {
    Vec::with_capacity(bytes + TAG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal_of(byte: u8) -> Seal {
        Seal::new(&Secret::new([byte; 32]))
    }

    #[test]
    fn a_record_opens_only_in_its_place() {
        let seal = seal_of(1);
        let (one, two) = (SessionId::new("a", None), SessionId::new("a", Some("")));
        let here = Place {
            table: "cookie",
            id: &one,
            row: b"r",
            version: 7,
        };
        let sealed = seal.seal(here, b"canary".to_vec());
        assert!(!sealed.windows(6).any(|w| w == b"canary"));
        assert_eq!(**seal.open(here, &sealed).unwrap(), *b"canary");
        let table = "grant";
        for elsewhere in [
            Place { table, ..here },
            Place { id: &two, ..here },
            Place { row: b"s", ..here },
            Place { version: 8, ..here },
        ] {
            assert_eq!(seal.open(elsewhere, &sealed), Err(Broken), "{elsewhere:?}");
        }
        assert_eq!(seal_of(2).open(here, &sealed), Err(Broken));
        for length in 0..sealed.len() {
            assert_eq!(seal.open(here, &sealed[..length]), Err(Broken));
        }
    }

    #[test]
    fn equal_records_do_not_look_equal() {
        let seal = seal_of(1);
        assert_ne!(seal.key_check(), seal.key_check());
        assert!(seal.is_key_of(&seal.key_check()));
        assert!(!seal.is_key_of(&seal_of(2).key_check()));
    }

    #[test]
    fn keys_depend_on_key_and_purpose() {
        let key = |byte, purpose| *seal_of(byte).key(purpose).expose();
        assert_eq!(key(1, "a"), key(1, "a"));
        assert!(key(1, "a") != key(1, "b") && key(1, "a") != key(2, "a"));
    }

    #[test]
    fn fingerprints_depend_on_key_purpose_and_bytes() {
        let print = seal_of(1).fingerprint("journal", b"token");
        assert_eq!(print.len(), 32);
        assert_eq!(print, seal_of(1).fingerprint("journal", b"token"));
        assert_ne!(print, seal_of(2).fingerprint("journal", b"token"));
        assert_ne!(print, seal_of(1).fingerprint("source", b"token"));
        assert_ne!(print, seal_of(1).fingerprint("journalt", b"oken"));
    }
}
