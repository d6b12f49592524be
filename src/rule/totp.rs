//! One-time passwords by time (RFC 6238) over HOTP (RFC 4226).

use std::str::FromStr;

use aws_lc_rs::hmac;

use super::encoding::percent_decode;
use crate::secret::Secret;

/// A seed with its parameters: base32 alone, or an `otpauth://totp/…` URI.
#[derive(Clone, Debug)]
pub struct Seed {
    key: Secret<Vec<u8>>,
    algorithm: hmac::Algorithm,
    digits: u32,
    period: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the seed is not base32")]
    Base32,
    #[error("the seed's URI is not otpauth://totp/… with a secret")]
    Uri,
    #[error("the algorithm is not SHA1, SHA256 or SHA512")]
    Algorithm,
    #[error("there are 6 to 10 digits, and at least one second to a period")]
    Range,
}

// === impl Seed ===

impl Seed {
    /// Returns the code at a time in seconds since the epoch.
    pub fn code(&self, seconds: u64) -> String {
        let key = hmac::Key::new(self.algorithm, self.key.expose());
        let counter = (seconds / self.period).to_be_bytes();
        let tag = hmac::sign(&key, &counter);
        let tag = tag.as_ref();
        // Dynamic truncation, RFC 4226 §5.3; the shortest tag has 20 bytes, the offset is at most 15.
        let offset = usize::from(tag[tag.len() - 1] & 15);
        let word = u32::from_be_bytes([
            tag[offset] & 0x7f,
            tag[offset + 1],
            tag[offset + 2],
            tag[offset + 3],
        ]);
        let code = u64::from(word) % 10u64.pow(self.digits);
        format!("{code:0width$}", width = self.digits as usize)
    }
}

impl FromStr for Seed {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let s = s.trim();
        let mut seed = Self {
            key: Secret::default(),
            algorithm: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            digits: 6,
            period: 30,
        };
        let Some(uri) = s.strip_prefix("otpauth://") else {
            seed.key = base32(s.as_bytes()).ok_or(Error::Base32)?;
            return Ok(seed);
        };
        let query = uri
            .strip_prefix("totp/")
            .and_then(|rest| rest.split_once('?'))
            .map(|(_, query)| query)
            .ok_or(Error::Uri)?;
        let mut secret = None;
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "secret" => secret = Some(value),
                "algorithm" => {
                    seed.algorithm = match value.to_ascii_uppercase().as_str() {
                        "SHA1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                        "SHA256" => hmac::HMAC_SHA256,
                        "SHA512" => hmac::HMAC_SHA512,
                        _ => return Err(Error::Algorithm),
                    }
                }
                "digits" => seed.digits = value.parse().map_err(|_| Error::Range)?,
                "period" => seed.period = value.parse().map_err(|_| Error::Range)?,
                _ => {}
            }
        }
        if !(6..=10).contains(&seed.digits) || seed.period == 0 {
            return Err(Error::Range);
        }
        let secret = percent_decode(secret.ok_or(Error::Uri)?.as_bytes());
        seed.key = base32(&secret).ok_or(Error::Base32)?;
        Ok(seed)
    }
}

/// Decodes base32 (RFC 4648 §6) as people type it: any case, with spaces and dashes, with or without padding.
fn base32(text: &[u8]) -> Option<Secret<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut held) = (0u32, 0u32);
    for c in text {
        let value = match c.to_ascii_uppercase() {
            c @ b'A'..=b'Z' => c - b'A',
            c @ b'2'..=b'7' => c - b'2' + 26,
            b' ' | b'-' | b'=' => continue,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(value)) & 0xfff;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    (!bytes.is_empty()).then(|| Secret::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: eight digits, seeds of 20, 32 and 64 bytes.
    #[test]
    fn vectors_of_rfc_6238() {
        const SHA1: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        const SHA256: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA";
        const SHA512: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
                              GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA";
        let cases = [
            (59, ["94287082", "46119246", "90693936"]),
            (1_111_111_109, ["07081804", "68084774", "25091201"]),
            (1_111_111_111, ["14050471", "67062674", "99943326"]),
            (1_234_567_890, ["89005924", "91819424", "93441116"]),
            (2_000_000_000, ["69279037", "90698825", "38618901"]),
            (20_000_000_000, ["65353130", "77737706", "47863826"]),
        ];
        for (seconds, codes) in cases {
            let seeds = [("SHA1", SHA1), ("SHA256", SHA256), ("SHA512", SHA512)];
            for ((algorithm, secret), code) in seeds.into_iter().zip(codes) {
                let uri = format!(
                    "otpauth://totp/x?secret={secret}&algorithm={algorithm}&digits=8&period=30"
                );
                let seed: Seed = uri.parse().unwrap();
                assert_eq!(seed.code(seconds), code, "{algorithm} {seconds}");
            }
        }
    }

    #[test]
    fn base32_as_people_type_it() {
        for text in [
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
            "gezd gnbv gy3t qojq gezd gnbv gy3t qojq",
            " GEZDGNBV-GY3TQOJQ-GEZDGNBV-GY3TQOJQ=== ",
        ] {
            assert_eq!(text.parse::<Seed>().unwrap().code(59), "287082", "{text}");
        }
    }

    #[test]
    fn what_is_no_seed() {
        let cases = [
            ("", Error::Base32),
            ("01189", Error::Base32),
            ("otpauth://hotp/x?secret=GEZA", Error::Uri),
            ("otpauth://totp/x", Error::Uri),
            ("otpauth://totp/x?digits=6", Error::Uri),
            ("otpauth://totp/x?secret=GEZA&digits=40", Error::Range),
            ("otpauth://totp/x?secret=GEZA&period=0", Error::Range),
            (
                "otpauth://totp/x?secret=GEZA&algorithm=MD5",
                Error::Algorithm,
            ),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Seed>().map(|_| ()), Err(error), "{text}");
        }
    }
}
