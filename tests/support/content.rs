//! Big bodies that anybody can make again from a size and a seed, and their hashes.

use std::ops::Range;

use aws_lc_rs::digest;
use bytes::Bytes;

const BLOCK: usize = 64 * 1024;

/// A deterministic body: no two blocks are alike, and any range of it can be made alone.
#[derive(Clone)]
pub struct Content {
    pub size: u64,
    seed: u64,
    block: Bytes,
}

/// A running SHA-256.
pub struct Hash(digest::Context, pub u64);

// === impl Content ===

impl Content {
    pub fn new(size: u64, seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let block = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        Self {
            size,
            seed,
            block: block.take(BLOCK / 8).flatten().collect::<Vec<u8>>().into(),
        }
    }

    /// At most one block of the body from an offset on; empty at its end.
    pub fn chunk(&self, range: Range<u64>) -> Bytes {
        let block = BLOCK as u64;
        let end = range.end.min(self.size);
        if range.start >= end {
            return Bytes::new();
        }
        let number = range.start / block;
        let from = usize::try_from(range.start % block).expect("within a block");
        let to = usize::try_from(end.min((number + 1) * block) - number * block)
            .expect("within a block");
        let mut bytes = self.block.to_vec();
        bytes[..8].copy_from_slice(&(number ^ self.seed).to_le_bytes());
        Bytes::from(bytes).slice(from..to)
    }

    pub fn chunks(&self, range: Range<u64>) -> impl Iterator<Item = Bytes> + Send + use<> {
        let content = self.clone();
        let mut at = range.start;
        std::iter::from_fn(move || {
            let chunk = content.chunk(at..range.end);
            at += chunk.len() as u64;
            (!chunk.is_empty()).then_some(chunk)
        })
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.chunks(0..self.size).flatten().collect()
    }

    pub fn sha256(&self) -> String {
        let mut hash = Hash::new();
        self.chunks(0..self.size)
            .for_each(|chunk| hash.update(&chunk));
        hash.finish()
    }
}

// === impl Hash ===

impl Hash {
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256), 0)
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
        self.1 += bytes.len() as u64;
    }

    pub fn finish(self) -> String {
        self.0
            .finish()
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    let mut hash = Hash::new();
    hash.update(bytes);
    hash.finish()
}

pub fn sha256_file(path: &std::path::Path) -> String {
    use std::io::Read as _;
    let mut file =
        std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut buffer = vec![0; 1 << 20];
    let mut hash = Hash::new();
    loop {
        match file.read(&mut buffer).expect("read") {
            0 => return hash.finish(),
            read => hash.update(&buffer[..read]),
        }
    }
}
