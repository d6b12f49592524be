//! Path patterns: text in which `*` stands for any characters, also none, also `/`.

use std::fmt;

/// A pattern over a whole path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(String);

// === impl Glob ===

impl Glob {
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Returns how many characters the pattern fixes: of two that match, the one with more is the more specific.
    pub fn weight(&self) -> usize {
        self.0.bytes().filter(|b| *b != b'*').count()
    }

    /// Tells whether the whole of `text` matches, in time linear in both for patterns with one star and never
    /// worse than their product.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            if pattern.get(p) == Some(&b'*') {
                star = Some((p, t));
                p += 1;
            } else if pattern.get(p) == Some(&text[t]) {
                p += 1;
                t += 1;
            } else if let Some((star_p, star_t)) = star {
                // Let the last star take one more character.
                star = Some((star_p, star_t + 1));
                p = star_p + 1;
                t = star_t + 1;
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|b| *b == b'*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        let cases = [
            ("/v1/*", "/v1/", true),
            ("/v1/*", "/v1", false),
            ("*/login*", "/a/login?x", true),
            ("*/login*", "/logout", false),
            ("/a*b*c", "/a-b-b-c", true),
            ("/a*b*c", "/a-c", false),
            ("/exact", "/exact", true),
            ("/exact", "/exact/", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                Glob::new(pattern).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
