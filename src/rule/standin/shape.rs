//! The shape of a secret: what of it is no secret and stays, and of which letters the rest is.

/// Letters that must be drawn for a stand-in, so that nobody finds the value by trying and no two are the same.
const FEWEST: usize = 12;
/// The end of a stand-in that proves it to be one: of 64 letters ten are 60 bits.
const PROOF: usize = 10;
/// What is no longer than this between separators is a name or a number, as `serial` in `{serial:Mg==}`.
const SHORT: usize = 6;
/// Longer words before a separator are no prefix.
const PREFIX: usize = 8;

const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const DIGITS: &[u8] = b"0123456789";

/// Characters that stay, and places for others of an alphabet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// `None`: a place for a letter.
    slots: Vec<Option<char>>,
    alphabet: Vec<u8>,
    free: usize,
}

// === impl Shape ===

impl Shape {
    /// Returns the shape of a text; `None` if too little of it would change.
    pub(super) fn of(text: &str) -> Option<Self> {
        let chars: Vec<char> = text.chars().collect();
        let mut slots: Vec<Option<char>> = chars.iter().copied().map(Some).collect();
        if is_uuid(&chars) {
            for (at, slot) in slots.iter_mut().enumerate() {
                // The version and the variant stay (RFC 9562 §4).
                if !matches!(at, 8 | 13 | 14 | 18 | 19 | 23) {
                    *slot = None;
                }
            }
        } else {
            let mut at = prefix(&chars);
            for run in chars[at..].split(|c| !is_letter(*c)) {
                if run.len() > SHORT {
                    slots[at..at + run.len()].fill(None);
                }
                at += run.len() + 1;
            }
        }
        let free = slots.iter().filter(|slot| slot.is_none()).count();
        if free < FEWEST {
            return None;
        }
        let letters = chars.iter().zip(&slots);
        let letters = letters.filter(|(_, slot)| slot.is_none());
        let alphabet = alphabet(&letters.map(|(c, _)| *c as u8).collect::<Vec<_>>());
        Some(Self {
            slots,
            alphabet,
            free,
        })
    }

    pub(super) fn alphabet(&self) -> &[u8] {
        &self.alphabet
    }

    /// The letters that tell one stand-in from another.
    pub(super) fn body(&self) -> usize {
        self.free - self.tag()
    }

    /// The letters that prove it.
    pub(super) fn tag(&self) -> usize {
        (self.free / 2).min(PROOF)
    }

    /// Puts letters into the places, in order; places without one get a `?`.
    pub(super) fn fill(&self, letters: &[u8]) -> String {
        let mut letters = letters.iter();
        let mut letter = || letters.next().map_or('?', |b| char::from(*b));
        self.slots
            .iter()
            .map(|slot| slot.unwrap_or_else(&mut letter))
            .collect()
    }

    /// Returns the letters of a text of this shape: those that tell, those that prove.
    pub(super) fn split(&self, text: &str) -> (Vec<u8>, Vec<u8>) {
        let letters = text.chars().zip(&self.slots);
        let letters = letters.filter(|(_, slot)| slot.is_none());
        let mut body: Vec<u8> = letters.map(|(c, _)| c as u8).collect();
        let tag = body.split_off(self.body());
        (body, tag)
    }
}

/// What tokens are made of: base64 in both alphabets, without its padding.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '/')
}

/// Returns the length of the words that say what kind of token it is: `Atna|`, `ghp_`, `sk_live_`, `ya29.`, `1//`.
fn prefix(chars: &[char]) -> usize {
    let mut length = 0;
    // Two words at most: a random text seldom begins like one, and never with three.
    for _ in 0..2 {
        let rest = &chars[length..];
        let word = rest
            .iter()
            .take_while(|c| c.is_ascii_alphanumeric())
            .count();
        let Some(separator) = rest.get(word) else {
            break;
        };
        let (word, after) = (&rest[..word], rest.get(word + 1));
        let lower = word.iter().all(char::is_ascii_lowercase);
        let named = (2..=PREFIX).contains(&word.len());
        let ends = match separator {
            '|' | ':' => named,
            '_' | '-' => named && lower,
            '.' => named && word.iter().any(|c| c.is_ascii_lowercase()),
            '/' if after == Some(&'/') && *word == ['1'] => {
                length += 3;
                break;
            }
            _ => false,
        };
        if !ends {
            break;
        }
        length += word.len() + 1;
    }
    length
}

fn is_uuid(chars: &[char]) -> bool {
    chars.len() == 36
        && chars.iter().enumerate().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => *c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

/// Returns the alphabet that letters are of: hexadecimal if they can be, else every class that occurs.
fn alphabet(letters: &[u8]) -> Vec<u8> {
    let any = |class: fn(&u8) -> bool| letters.iter().any(class);
    let hex = |first: u8| {
        letters
            .iter()
            .all(|b| b.is_ascii_digit() || (first..first + 6).contains(b))
    };
    let mut alphabet = Vec::new();
    if any(u8::is_ascii_lowercase) {
        alphabet.extend(if hex(b'a') { &LOWER[..6] } else { LOWER });
    }
    if any(u8::is_ascii_uppercase) {
        alphabet.extend(if hex(b'A') { &UPPER[..6] } else { UPPER });
    }
    if any(u8::is_ascii_digit) {
        alphabet.extend(DIGITS);
    }
    if any(|b| matches!(b, b'-' | b'_')) {
        alphabet.extend(b"-_");
    }
    if any(|b| matches!(b, b'+' | b'/')) {
        alphabet.extend(b"+/");
    }
    alphabet
}
