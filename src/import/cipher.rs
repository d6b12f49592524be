//! The ciphers in which other programs keep what they hold: AES-CBC with PKCS#7, keys from passwords by PBKDF2.

use std::num::NonZeroU32;

use aws_lc_rs::{
    cipher::{AES_128, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey},
    iv::FixedLength,
    pbkdf2,
};
use zeroize::Zeroizing;

/// Opens what was sealed with AES-128 or AES-256 (by the key's length) in CBC mode. `None`: a key or an IV of another
/// length, no whole blocks, or a padding that is none. There is nothing that proves the text: one in 256 wrong keys
/// opens to garbage.
pub(super) fn open(key: &[u8], iv: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let algorithm = match key.len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return None,
    };
    if sealed.is_empty() || !sealed.len().is_multiple_of(16) {
        return None;
    }
    let key = UnboundCipherKey::new(algorithm, key).ok()?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
    let iv = DecryptionContext::Iv128(FixedLength::try_from(iv).ok()?);
    let mut text = Zeroizing::new(sealed.to_vec());
    let length = key.decrypt(&mut text, iv).ok()?.len();
    text.truncate(length);
    Some(text)
}

/// Makes a key of 32 bytes of a password, by PBKDF2 with HMAC-SHA-256 (RFC 8018 §5.2).
pub(super) fn key_of(password: &str, salt: &[u8], rounds: NonZeroU32) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
    pbkdf2::derive(algorithm, rounds, salt, password.as_bytes(), &mut *key);
    key
}

/// Makes a key of 16 bytes of a password, by PBKDF2 with HMAC-SHA-1.
pub(super) fn short_key_of(password: &str, salt: &[u8], rounds: NonZeroU32) -> Zeroizing<[u8; 16]> {
    let mut key = Zeroizing::new([0; 16]);
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA1;
    pbkdf2::derive(algorithm, rounds, salt, password.as_bytes(), &mut *key);
    key
}
