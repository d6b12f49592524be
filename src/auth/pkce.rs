//! A secret that ties a code to whoever asked for it (RFC 7636), and the `state` of a request.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::secret::Secret;

/// A `code_verifier` (RFC 7636 §4.1): 43 characters of 32 random bytes.
#[derive(Clone, Debug)]
pub struct Verifier(Secret);

// === impl Verifier ===

impl Verifier {
    pub fn new(random: [u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(random).into())
    }

    /// Returns the `code_challenge` by S256 (§4.2); `plain` is no protection and never used.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.0.expose().as_bytes()))
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Returns a value that nobody can guess, for `state` (RFC 6749 §10.12).
pub fn unguessable(random: [u8; 16]) -> String {
    URL_SAFE_NO_PAD.encode(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    #[test]
    fn the_example_of_the_rfc() {
        let verifier = Verifier::new([
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212,
            37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
        ]);
        assert_eq!(
            verifier.expose(),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        );
        assert_eq!(
            verifier.challenge(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
        assert!(!format!("{verifier:?}").contains("dBjft"));
        assert_eq!(unguessable([255; 16]).len(), 22);
    }
}
