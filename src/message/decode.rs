//! Content codings of bodies that are looked at (RFC 9110 §8.4): gzip, deflate, br, bounded in size and in ratio, so
//! that a small body cannot become a large one.

use std::io::{self, Read};

use brotli_decompressor::Decompressor;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Decoded bytes that no ratio forbids: repetitive pages of this size are honest.
const FREE: usize = 64 * 1024;
/// Codings over one another; one is what servers send.
const LAYERS: usize = 3;
const CHUNK: usize = 8 * 1024;

/// The bounds of one body.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Decoded bytes.
    pub max: usize,
    /// Decoded bytes for each encoded byte, once there are more than 64 KiB.
    pub ratio: usize,
}

/// The beginning of a body, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub bytes: Vec<u8>,
    /// Whether that is all that the encoded bytes hold: neither a bound nor the end of what is there yet cut it.
    pub whole: bool,
}

// === impl Bounds ===

impl Bounds {
    /// So many bytes, in whatever proportion: ordinary JSON shrinks to a thirtieth, and no ratio tells it from a bomb.
    pub fn up_to(max: usize) -> Self {
        let ratio = usize::MAX;
        Self { max, ratio }
    }
}

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the content coding is none of gzip, deflate and br")]
    Coding,
    #[error("the decoded body is larger than the limit")]
    TooLarge,
    #[error("the decoded body is out of proportion to the encoded one")]
    Ratio,
    #[error("the body is not what its content coding says, or its end is missing")]
    Damaged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

/// How a decoding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    Cut(Error),
}

/// Decodes a whole body. `encoding` is the value of `Content-Encoding`, empty if there is none.
pub fn decode(encoding: &str, body: &[u8], bounds: Bounds) -> Result<Vec<u8>, Error> {
    match run(encoding, body, bounds)? {
        (bytes, End::Whole) => Ok(bytes),
        (_, End::Cut(error)) => Err(error),
    }
}

/// Decodes what is there of a body, up to the bounds; a missing end is no error.
pub fn prefix(encoding: &str, body: &[u8], bounds: Bounds) -> Result<Prefix, Error> {
    let (bytes, end) = run(encoding, body, bounds)?;
    Ok(Prefix {
        bytes,
        whole: end == End::Whole,
    })
}

/// Tells whether a body of this `Content-Encoding` can be decoded.
pub fn is_known(encoding: &str) -> bool {
    codings(encoding).is_ok()
}

fn run(encoding: &str, body: &[u8], bounds: Bounds) -> Result<(Vec<u8>, End), Error> {
    let mut codings = codings(encoding)?;
    let Some(outer) = codings.pop() else {
        let cut = &body[..body.len().min(bounds.max)];
        let end = if cut.len() < body.len() {
            End::Cut(Error::TooLarge)
        } else {
            End::Whole
        };
        return Ok((cut.to_vec(), end));
    };
    let most = FREE.max(body.len().saturating_mul(bounds.ratio));
    let (mut bytes, mut end) = layer(outer, body, bounds.max, most);
    // The last coding named was applied last (RFC 9110 §8.4).
    while let Some(inner) = codings.pop() {
        let (next, next_end) = layer(inner, &bytes, bounds.max, most);
        bytes = next;
        if end == End::Whole {
            end = next_end;
        }
    }
    Ok((bytes, end))
}

fn codings(encoding: &str) -> Result<Vec<Coding>, Error> {
    let mut codings = Vec::new();
    for name in encoding.split(',').map(str::trim) {
        match name.to_ascii_lowercase().as_str() {
            "" | "identity" => {}
            "gzip" | "x-gzip" => codings.push(Coding::Gzip),
            "deflate" => codings.push(Coding::Deflate),
            "br" => codings.push(Coding::Brotli),
            _ => return Err(Error::Coding),
        }
    }
    if codings.len() > LAYERS {
        return Err(Error::Coding);
    }
    Ok(codings)
}

fn layer(coding: Coding, body: &[u8], max: usize, most: usize) -> (Vec<u8>, End) {
    if body.is_empty() {
        return (Vec::new(), End::Cut(Error::Damaged));
    }
    match coding {
        Coding::Gzip => fill(MultiGzDecoder::new(body), max, most),
        // "deflate" is zlib by the standard and bare by some servers; only zlib begins like this (RFC 1950 §2.2).
        Coding::Deflate if is_zlib(body) => fill(ZlibDecoder::new(body), max, most),
        Coding::Deflate => fill(DeflateDecoder::new(body), max, most),
        Coding::Brotli => fill(Decompressor::new(body, CHUNK), max, most),
    }
}

fn is_zlib(body: &[u8]) -> bool {
    match body {
        [first, second, ..] => {
            first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31)
        }
        _ => true,
    }
}

fn fill(mut reader: impl Read, max: usize, most: usize) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    let mut chunk = [0; CHUNK];
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return (bytes, End::Whole),
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return (bytes, End::Cut(Error::Damaged)),
        }
        let (bound, error) = if max <= most {
            (max, Error::TooLarge)
        } else {
            (most, Error::Ratio)
        };
        if bytes.len() > bound {
            bytes.truncate(bound);
            return (bytes, End::Cut(error));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        max: 1 << 20,
        ratio: 10,
    };
    /// "hello hello hello hello", by the reference encoder.
    const BROTLI: &[u8] = &[
        0x1b, 0x16, 0x00, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0x44, 0x55, 0x86, 0x96, 0x6c, 0x20, 0x6f,
        0x21, 0x4f, 0x1c, 0xe0, 0x38,
    ];

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn bare(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_coding() {
        let text = b"hello";
        let two_members = [gzip(b"hel"), gzip(b"lo")].concat();
        let cases = [
            ("", text.to_vec()),
            ("identity", text.to_vec()),
            ("gzip", gzip(text)),
            ("X-GZip", gzip(text)),
            ("gzip", two_members),
            ("deflate", zlib(text)),
            ("deflate", bare(text)),
            ("deflate, gzip", gzip(&zlib(text))),
        ];
        for (encoding, body) in cases {
            assert_eq!(
                decode(encoding, &body, BOUNDS).as_deref(),
                Ok(&text[..]),
                "{encoding}"
            );
            assert!(is_known(encoding));
        }
    }

    #[test]
    fn what_cannot_be_decoded() {
        let whole = gzip(b"hello");
        let bomb = gzip(&vec![0; 600_000]);
        let large = gzip(&vec![0; 2_000_000]);
        let generous = Bounds {
            ratio: 5_000,
            ..BOUNDS
        };
        let cases = [
            ("zstd", &whole[..], BOUNDS, Error::Coding),
            ("gzip,gzip,gzip,gzip", &whole, BOUNDS, Error::Coding),
            ("gzip", &whole[..whole.len() - 3], BOUNDS, Error::Damaged),
            ("gzip", b"hello", BOUNDS, Error::Damaged),
            ("gzip", b"", BOUNDS, Error::Damaged),
            ("br", b"\xff\xff\xff\xff", BOUNDS, Error::Damaged),
            ("gzip", &bomb, BOUNDS, Error::Ratio),
            ("gzip", &large, generous, Error::TooLarge),
            ("", &[0; 100], Bounds { max: 99, ratio: 1 }, Error::TooLarge),
        ];
        for (encoding, body, bounds, error) in cases {
            assert_eq!(decode(encoding, body, bounds), Err(error), "{encoding}");
        }
    }

    #[test]
    fn a_beginning_is_decoded_as_far_as_it_goes() {
        let text: Vec<u8> = (0..40_000u32).flat_map(|n| n.to_be_bytes()).collect();
        let body = gzip(&text);
        let got = prefix("gzip", &body[..body.len() / 2], BOUNDS).unwrap();
        assert!(!got.whole && got.bytes.len() > 10_000 && text.starts_with(&got.bytes));
        let bounds = Bounds {
            max: 100,
            ratio: 10,
        };
        let got = prefix("gzip", &body, bounds).unwrap();
        assert_eq!((got.whole, &got.bytes[..]), (false, &text[..100]));
        let got = prefix("gzip", &gzip(b"all"), BOUNDS).unwrap();
        assert_eq!((got.whole, &got.bytes[..]), (true, &b"all"[..]));
    }

    #[test]
    fn brotli_of_another_encoder() {
        let text = b"hello hello hello hello";
        assert_eq!(decode("br", BROTLI, BOUNDS).as_deref(), Ok(&text[..]));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic_or_grow(
            encoding in "(gzip|deflate|br)(, (gzip|deflate|br))?",
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(bytes) = decode(&encoding, &body, BOUNDS) {
                prop_assert!(bytes.len() <= FREE.max(body.len() * 10));
            }
            let got = prefix(&encoding, &body, BOUNDS).unwrap();
            prop_assert!(got.bytes.len() <= FREE.max(body.len() * 10));
        }
    }
}
