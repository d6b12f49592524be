//! Cookies of which it is not known where they go: what a person copied from a `Cookie` field has neither domain nor
//! path, so they were assumed. As soon as the server says it, the assumption ends; otherwise two cookies of one name
//! would be sent, and the old value first.

use super::{Jar, Key, Outcome, Stored, domain::domain_match, resolve::Candidate};

impl Jar {
    /// Removes the assumed cookies that the server now says where they go.
    pub(super) fn replace_assumed(&mut self, new: &Candidate<'_>) -> Vec<Key> {
        if !self.assumed {
            return Vec::new();
        }
        let assumed = self.domains.values().flat_map(|bucket| bucket.iter());
        let assumed = assumed
            .map(|entry| &entry.cookie)
            .filter(|cookie| cookie.assumed);
        let (mut same, mut others) = (Vec::new(), false);
        for cookie in assumed {
            let related = domain_match(&cookie.domain, &new.domain)
                || domain_match(&new.domain, &cookie.domain);
            let in_place = cookie.domain == *new.domain
                && cookie.path == new.path
                && cookie.host_only == new.host_only;
            match cookie.name == new.name && related {
                // It is overwritten as any other.
                true if in_place => {}
                true => same.push(cookie.key()),
                false => others = true,
            }
        }
        for key in &same {
            let _ = self.remove(key);
        }
        self.assumed = others;
        same
    }
}

impl Outcome {
    /// Adds cookies whose place this one took.
    pub(super) fn with(mut self, mut replaced: Vec<Key>) -> Self {
        if self.stored == Stored::Same
            && let Some(key) = replaced.pop()
        {
            // The end of a cookie that was there under an assumption only.
            self.stored = Stored::Removed(key);
        }
        self.evicted.append(&mut replaced);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{
        jar::{Bounds, Cookie},
        limits::Limits,
        secret::Secret,
    };

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn assumed(domain: &str) -> Jar {
        let mut jar = Jar::new(Bounds::from(&Limits::default()));
        for name in ["sid", "other"] {
            let outcome = jar.insert(
                Cookie {
                    name: name.into(),
                    value: Secret::new(b"old".to_vec()),
                    domain: domain.to_owned(),
                    path: "/".to_owned(),
                    host_only: false,
                    secure: true,
                    http_only: false,
                    same_site: None,
                    expires: None,
                    created: NOW,
                    assumed: true,
                },
                NOW,
            );
            assert!(matches!(outcome.stored, Stored::Changed(_)));
        }
        jar
    }

    fn sent(jar: &Jar) -> String {
        let origin = "https://www.example.com".parse().unwrap();
        let field = jar.cookie_string(&origin, "/app/x", NOW);
        field.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn what_the_server_says_takes_the_place() {
        let cases = [
            ("sid=new", "other=old; sid=new"),
            ("sid=new; Path=/", "other=old; sid=new"),
            ("sid=new; Path=/app", "sid=new; other=old"),
            (
                "sid=new; Domain=www.example.com; Path=/",
                "sid=new; other=old",
            ),
            ("sid=new; Domain=example.com; Path=/", "sid=new; other=old"),
            ("sid=; Max-Age=0", "other=old"),
            ("sid=x; Max-Age=0; Domain=example.com", "other=old"),
            ("third=new; Path=/", "sid=old; other=old; third=new"),
        ];
        for domain in ["www.example.com", "example.com"] {
            for (field, expected) in cases {
                let mut jar = assumed(domain);
                let origin = "https://www.example.com".parse().unwrap();
                let before: Vec<Key> = jar.iter(NOW).map(Cookie::key).collect();
                let outcome = jar.store(&origin, "/", field.as_bytes(), NOW);
                let names = |text: &str| {
                    let mut names: Vec<_> = text.split("; ").map(str::to_owned).collect();
                    names.sort();
                    names
                };
                assert_eq!(names(&sent(&jar)), names(expected), "{domain} {field}");
                // What left the jar must leave the store as well.
                let mut told = outcome.evicted;
                if let Stored::Removed(key) = outcome.stored {
                    told.push(key);
                }
                for key in before {
                    assert!(
                        jar.get(&key).is_some() || told.contains(&key),
                        "{domain} {field}"
                    );
                }
            }
        }
    }

    #[test]
    fn it_happens_once_and_to_nobody_else() {
        let mut jar = assumed("example.com");
        let elsewhere = "https://example.org".parse().unwrap();
        let _ = jar.store(&elsewhere, "/", b"sid=theirs", NOW);
        assert_eq!(sent(&jar), "sid=old; other=old");
        let www = "https://www.example.com".parse().unwrap();
        let _ = jar.store(&www, "/", b"sid=one", NOW);
        let _ = jar.store(&www, "/", b"sid=two; Domain=example.com", NOW);
        assert_eq!(jar.len(), 4, "from now on they are two cookies");
        let _ = jar.store(&www, "/", b"other=new", NOW);
        assert!(!jar.assumed);
        assert_eq!(jar.len(), 4);
    }
}
