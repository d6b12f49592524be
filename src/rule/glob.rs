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

    /// Tells whether some text matches both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (self.0.as_bytes(), other.0.as_bytes());
        // Most that differ do so before the first star.
        let mut fixed = a
            .iter()
            .zip(b)
            .take_while(|(x, y)| **x != b'*' && **y != b'*');
        if fixed.any(|(x, y)| x != y) {
            return false;
        }
        // reached[j]: what is left of `a` and `b[j..]` can still end together; from the back, a row at a time.
        let mut reached: Vec<bool> = (0..=b.len())
            .map(|j| b[j..].iter().all(|c| *c == b'*'))
            .collect();
        for i in (0..a.len()).rev() {
            let mut row = vec![false; b.len() + 1];
            row[b.len()] = a[i] == b'*' && reached[b.len()];
            for j in (0..b.len()).rev() {
                row[j] = if a[i] == b'*' || b[j] == b'*' {
                    reached[j] || row[j + 1]
                } else {
                    a[i] == b[j] && reached[j + 1]
                };
            }
            reached = row;
        }
        reached[0]
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
    fn patterns_overlap_if_one_text_matches_both() {
        let cases = [
            ("/a/*", "/b/*", false),
            ("/a/*", "*/b", true),
            ("/a*", "/ab", true),
            ("/a*", "/b", false),
            ("*", "", true),
            ("", "", true),
            ("/x*y", "/xy", true),
            ("/x*y", "/x*z", false),
            ("/v1/*", "/v1", false),
            ("*a*", "*b*", true),
        ];
        for (a, b, expected) in cases {
            assert_eq!(Glob::new(a).overlaps(&Glob::new(b)), expected, "{a} {b}");
            assert_eq!(Glob::new(b).overlaps(&Glob::new(a)), expected, "{b} {a}");
        }
    }

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
