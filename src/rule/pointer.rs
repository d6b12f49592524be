//! JSON pointers (RFC 6901).

use std::{fmt, str::FromStr};

use serde_json::Value;

/// A JSON pointer: empty for the whole document, else `/`-separated tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a JSON pointer is empty or begins with `/`, and `~` is followed by 0 or 1")]
pub struct Error;

// === impl Pointer ===

impl Pointer {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        value.pointer(&self.0)
    }
}

impl FromStr for Pointer {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let rooted = s.is_empty() || s.starts_with('/');
        let escaped = s
            .split('~')
            .skip(1)
            .all(|rest| rest.starts_with(['0', '1']));
        if rooted && escaped {
            Ok(Self(s.to_owned()))
        } else {
            Err(Error)
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rfc_6901() {
        for (text, ok) in [
            ("", true),
            ("/a/0", true),
            ("/a~1b", true),
            ("a", false),
            ("/a~2", false),
            ("/~", false),
        ] {
            assert_eq!(text.parse::<Pointer>().is_ok(), ok, "{text}");
        }
    }
}
