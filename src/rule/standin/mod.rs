//! Stand-ins: values of the same shape as a secret that a client may hold in its place.
//!
//! A JWT stays one, with its header and its claims, and a signature that no key made. Any other value keeps its length,
//! its alphabet, a prefix as `Atna|` or `ghp_`, and what stands between its separators if that is short; the rest
//! is drawn from a keyed hash. So a stand-in is the same each time, also after a restart, and says nothing of the
//! value but its shape. Its end is a keyed hash of its beginning: whoever has the key knows a stand-in when it sees
//! one, also of a value that is long gone.

mod shape;
#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use self::shape::Shape;
use super::{encoding::base64_decode, jwt};
use crate::secret::Secret;

/// The shape of stand-ins for what is too short to have one of its own.
const ANY: &str = "Aa0Aa0Aa0Aa0Aa0Aa0Aa0Aa0";
/// How often a value of the right shape is drawn; half of the draws fit for the shapes that exist.
const TRIES: u32 = 10_000;
/// Shorter signatures are none: such a token is a secret from its first character.
const SIGNATURE: usize = 16;

/// Makes and recognises the stand-ins of one session.
pub struct Maker {
    key: hmac::Key,
}

/// Bytes without end, drawn from a keyed hash.
struct Stream<'k> {
    key: &'k hmac::Key,
    seed: hmac::Tag,
    block: u32,
    bytes: Vec<u8>,
}

// === impl Maker ===

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Maker")
    }
}

impl Maker {
    pub fn new(key: &Secret<[u8; 32]>) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key.expose()),
        }
    }

    /// Returns what stands in for a field's value.
    pub fn make(&self, field: &str, secret: &str) -> String {
        if let Some((claims, length)) = signed(secret) {
            return self.sign(field, claims, length);
        }
        let shape = Shape::of(secret).or_else(|| Shape::of(ANY));
        let shape = shape.expect("the shape of anything is one");
        self.draw(field, secret, &shape)
    }

    /// Tells whether a text stands in for some value of a field, be it held or long gone.
    pub fn recognises(&self, field: &str, text: &str) -> bool {
        if let Some((claims, length)) = signed(text) {
            return self.sign(field, claims, length) == text;
        }
        let Some(shape) = Shape::of(text) else {
            return false;
        };
        let (body, tag) = shape.split(text);
        self.tag(field, &shape, &body, tag.len()) == tag
    }

    /// Signs with nobody's key: the same for the same claims.
    fn sign(&self, field: &str, claims: &str, length: usize) -> String {
        let mut stream = self.stream(&[b"jwt", field.as_bytes(), claims.as_bytes()]);
        let signature: Vec<u8> = (0..length).map(|_| stream.byte()).collect();
        format!("{claims}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn draw(&self, field: &str, secret: &str, shape: &Shape) -> String {
        let mut drawn = String::new();
        for count in 0..TRIES {
            let count = count.to_be_bytes();
            let mut stream = self.stream(&[b"body", field.as_bytes(), secret.as_bytes(), &count]);
            let body: Vec<u8> = (0..shape.body()).map(|_| stream.letter(shape)).collect();
            let tag = self.tag(field, shape, &body, shape.tag());
            drawn = shape.fill(&[body, tag].concat());
            // It must be read as it was written, or it would not be recognised.
            if drawn != secret && Shape::of(&drawn).as_ref() == Some(shape) {
                break;
            }
        }
        drawn
    }

    fn tag(&self, field: &str, shape: &Shape, body: &[u8], length: usize) -> Vec<u8> {
        let blank = shape.fill(&[]);
        let mut stream = self.stream(&[b"tag", field.as_bytes(), blank.as_bytes(), body]);
        (0..length).map(|_| stream.letter(shape)).collect()
    }

    fn stream(&self, parts: &[&[u8]]) -> Stream<'_> {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Stream {
            key: &self.key,
            seed: context.sign(),
            block: 0,
            bytes: Vec::new(),
        }
    }
}

/// Returns the part of a JWT that is no secret, and the length of its signature.
fn signed(token: &str) -> Option<(&str, usize)> {
    let (claims, signature) = token.rsplit_once('.')?;
    let (header, _) = claims.split_once('.')?;
    let is_header = |bytes: Vec<u8>| {
        let header: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        header.is_some_and(|header| header.get("alg").is_some())
    };
    let is_jwt = signature.len() >= SIGNATURE
        && signature
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        && base64_decode(header.as_bytes()).is_some_and(is_header)
        && jwt::payload(token).is_ok();
    is_jwt.then_some((claims, signature.len() * 3 / 4))
}

// === impl Stream ===

impl Stream<'_> {
    fn byte(&mut self) -> u8 {
        if self.bytes.is_empty() {
            let block = [self.seed.as_ref(), &self.block.to_be_bytes()].concat();
            self.bytes = hmac::sign(self.key, &block).as_ref().to_vec();
            self.block += 1;
        }
        self.bytes.pop().expect("a block is not empty")
    }

    /// Draws a letter of a shape's alphabet, each as likely as the others.
    fn letter(&mut self, shape: &Shape) -> u8 {
        let alphabet = shape.alphabet();
        let fair = 256 / alphabet.len() * alphabet.len();
        loop {
            let byte = usize::from(self.byte());
            if byte < fair {
                return alphabet[byte % alphabet.len()];
            }
        }
    }
}
