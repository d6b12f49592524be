//! The LZ4 block format, one way: Firefox keeps its session in it.

use zeroize::Zeroizing;

/// Unpacks a block to at most `most` bytes. `None`: it is damaged, or longer.
pub(super) fn unpack(mut block: &[u8], most: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(Vec::new());
    loop {
        let (&token, rest) = block.split_first()?;
        block = rest;
        let literals = length(&mut block, token >> 4)?;
        let (plain, rest) = block.split_at_checked(literals)?;
        if out.len() + literals > most {
            return None;
        }
        out.extend_from_slice(plain);
        block = rest;
        // The last sequence ends with its literals.
        if block.is_empty() {
            return Some(out);
        }
        let (offset, rest) = block.split_first_chunk::<2>()?;
        block = rest;
        let start = out
            .len()
            .checked_sub(usize::from(u16::from_le_bytes(*offset)))?;
        let repeated = length(&mut block, token & 15)?.checked_add(4)?;
        if start == out.len() || out.len().checked_add(repeated)? > most {
            return None;
        }
        // What is repeated may reach into what it makes.
        for at in start..start + repeated {
            let byte = out[at];
            out.push(byte);
        }
    }
}

fn length(block: &mut &[u8], nibble: u8) -> Option<usize> {
    let mut length = usize::from(nibble);
    if nibble == 15 {
        loop {
            let (&more, rest) = block.split_first()?;
            *block = rest;
            length = length.checked_add(usize::from(more))?;
            if more != 255 {
                break;
            }
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        for (block, expected) in [
            (&b"\x00"[..], Some(&b""[..])),
            (b"\x30abc", Some(b"abc")),
            // Three literals, then nine bytes from three back, then one literal.
            (b"\x35abc\x03\x00\x10d", Some(b"abcabcabcabcd")),
            // One byte repeated: the match reaches into itself.
            (b"\x1fa\x01\x00\x00\x10b", Some(b"aaaaaaaaaaaaaaaaaaaab")),
            (b"\xf0\x01aaaaaaaaaaaaaaaa", Some(b"aaaaaaaaaaaaaaaa")),
            (b"", None),
            (b"\x40abc", None),
            (b"\x10a\x02\x00\x00", None),
            (b"\x10a\x00\x00\x00", None),
            (b"\x1fa\x01\x00\xff", None),
            (b"\xf0\xff", None),
        ] {
            let found = unpack(block, 64);
            assert_eq!(
                found.as_ref().map(|out| out.as_slice()),
                expected,
                "{block:?}"
            );
        }
        // A bomb ends at the limit.
        let bomb = [&b"\x1fa\x01\x00"[..], &[255; 4096], b"\x00\x10b"].concat();
        assert_eq!(unpack(&bomb, 1000), None);
    }
}
