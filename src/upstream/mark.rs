//! Our name in `Via` (RFC 9110 §7.6.3), by which a message is known that has passed here before.
//!
//! Another proxy of our kind on the way is no loop, so each process has names of its own. And each client has its own
//! at each origin: a name must not tell an origin that two clients, or another origin that two visits, share a proxy.

use std::hash::{BuildHasher as _, RandomState};

use crate::origin::Origin;

/// The names of this process.
#[derive(Debug, Default)]
pub struct Marks(RandomState);

// === impl Marks ===

impl Marks {
    /// What all names begin with.
    pub const PREFIX: &'static str = "staysigned-";

    /// Returns the name of a client's messages to an origin's host and port, whatever the scheme.
    pub fn of(&self, client: Option<&str>, origin: &Origin) -> String {
        let digits = self.0.hash_one((client, &origin.host, origin.port));
        format!("{}{digits:016x}", Self::PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_nobody_anything_but_ourselves() {
        let (here, elsewhere) = (Marks::default(), Marks::default());
        let origin = |text: &str| text.parse::<Origin>().unwrap();
        let (a, b) = (origin("http://a.example"), origin("http://b.example"));
        let name = here.of(Some("alice"), &a);
        assert_eq!(
            name,
            here.of(Some("alice"), &origin("https://a.example:80"))
        );
        for other in [
            here.of(Some("bob"), &a),
            here.of(None, &a),
            here.of(Some("alice"), &b),
            elsewhere.of(Some("alice"), &a),
        ] {
            assert_ne!(name, other);
        }
    }
}
