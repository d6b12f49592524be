//! What all formats have in common: a cookie is made canonical, checked, and left out if it is over, for another host
//! or there already.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Error, Material, Options};
use crate::{
    jar::{Cookie, Key, Refused, SameSite, domain},
    origin::{Host, Scheme},
    rule::HostPattern,
    secret::Secret,
};

/// A cookie as a format has it; what the format does not have is the default.
#[derive(Debug, Default)]
pub(super) struct Draft<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// In any case, with or without a leading dot; `None`: that of `--domain`.
    pub(super) domain: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    pub(super) host_only: bool,
    /// `None`: as the session's origins are.
    pub(super) secure: Option<bool>,
    pub(super) http_only: bool,
    pub(super) same_site: Option<SameSite>,
    pub(super) expires: Option<SystemTime>,
    /// Kept apart for one embedding site (CHIPS); a jar has no such parts.
    pub(super) partitioned: bool,
    /// Where it goes is assumed, also if `domain` says it.
    pub(super) assumed: bool,
}

/// Which of two cookies with one key is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twice {
    /// A file is read as if each line were set after the one before.
    LastWins,
    /// In a `Cookie` field, the cookie with the longest path comes first.
    FirstWins,
}

/// Collects the cookies of one import.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    options: &'a Options,
    cookies: Vec<Cookie>,
    /// Key → place in `cookies`, and whether it is a partitioned one.
    places: HashMap<Key, (usize, bool)>,
    expired: usize,
    elsewhere: usize,
    doubled: Vec<String>,
    partitioned: usize,
    host_only: Vec<String>,
    warnings: Vec<String>,
}

// === impl Collector ===

impl<'a> Collector<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        Self {
            options,
            cookies: Vec::new(),
            places: HashMap::new(),
            expired: 0,
            elsewhere: 0,
            doubled: Vec::new(),
            partitioned: 0,
            host_only: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Takes a cookie; the error says what is wrong with it, without its value.
    pub(super) fn add(&mut self, draft: Draft<'_>, twice: Twice) -> Result<(), String> {
        let host = match draft.domain {
            Some(domain) => {
                let bare = domain.strip_prefix('.').unwrap_or(domain);
                let host = bare.parse::<Host>();
                host.map_err(|error| format!("its domain is none: {error}"))?
            }
            None => {
                let domain = self.options.domain.clone();
                domain.ok_or_else(|| Error::NeedsDomain.to_string())?
            }
        };
        let mut cookie = self.cookie(&host, &draft);
        if self.is_elsewhere(&cookie) {
            self.elsewhere += 1;
            return Ok(());
        }
        if cookie.is_expired(self.options.now) {
            self.expired += 1;
            return Ok(());
        }
        self.mend(&mut cookie);
        let limit = self.options.bounds.bytes;
        cookie.check(limit).map_err(|why| problem(why, limit))?;
        self.partitioned += usize::from(draft.partitioned);
        self.place(cookie, draft.partitioned, twice);
        Ok(())
    }

    /// Ends the import; nothing at all is an error.
    pub(super) fn finish(self) -> Result<Material, Error> {
        let unbound = self.cookies.iter().filter(|c| self.is_unbound(c)).count();
        let Self {
            options,
            cookies,
            expired,
            elsewhere,
            doubled,
            partitioned,
            host_only,
            mut warnings,
            ..
        } = self;
        let left_out = |count, what| match count {
            0 => None,
            1 => Some(format!("1 cookie {what} was left out")),
            n => Some(format!("{n} cookies {what} were left out")),
        };
        let left: Vec<_> = [
            left_out(expired, "that is over"),
            left_out(elsewhere, "for another host than --domain"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if cookies.is_empty() {
            return Err(match left.is_empty() {
                true => Error::Empty,
                false => Error::NothingLeft(left.join(", ")),
            });
        }
        let count = match cookies.len() {
            1 => "1 cookie".to_owned(),
            n => format!("{n} cookies"),
        };
        if unbound == cookies.len() && options.domain.is_none() {
            let what = format!("{count} for hosts that the session is not bound to");
            return Err(Error::NothingLeft(what));
        }
        bounded(options, &cookies)?;
        warnings.extend(left);
        if unbound == cookies.len() {
            // Whoever names a host may have a login there in mind; more often it is mistyped.
            warnings.push(
                "the session is not bound to that host: nothing of this is sent with its requests"
                    .to_owned(),
            );
        } else if unbound > 0 {
            warnings.push(format!(
                "of {count}, {unbound} are for hosts that the session is not bound to"
            ));
        }
        if partitioned > 0 {
            warnings.push(format!(
                "{partitioned} cookies that a browser keeps apart for one embedding site became ordinary ones"
            ));
        }
        for (names, what) in [
            (doubled, "is there twice, with two values; one was taken"),
            (host_only, "can only be for the host itself, and is"),
        ] {
            warnings.extend(
                names
                    .into_iter()
                    .map(|name| format!("cookie {name} {what}")),
            );
        }
        Ok(Material {
            cookies,
            warnings,
            ..Material::default()
        })
    }

    fn cookie(&self, host: &Host, draft: &Draft<'_>) -> Cookie {
        let Options { scheme, now, .. } = self.options;
        // Cookies of one import keep their order: no two are of the same instant.
        let nth = Duration::from_micros(u64::try_from(self.cookies.len()).unwrap_or(u64::MAX));
        Cookie {
            name: draft.name.to_vec(),
            value: Secret::new(draft.value.to_vec()),
            domain: host.to_string(),
            path: draft.path.unwrap_or("/").to_owned(),
            host_only: draft.host_only,
            secure: draft.secure.unwrap_or(*scheme == Scheme::Https),
            http_only: draft.http_only,
            same_site: draft.same_site,
            expires: draft.expires,
            created: now.checked_add(nth).unwrap_or(*now),
            assumed: draft.assumed || draft.domain.is_none(),
        }
    }

    /// Tells whether no request that the session is bound to takes the cookie.
    fn is_unbound(&self, cookie: &Cookie) -> bool {
        let Options { hosts, .. } = self.options;
        if hosts.is_empty() {
            return false;
        }
        let dot = if cookie.host_only { "" } else { "." };
        !wants(hosts, None, &format!("{dot}{}", cookie.domain))
    }

    /// Tells whether the cookie is of no use to the host named by `--domain` and those below it.
    fn is_elsewhere(&self, cookie: &Cookie) -> bool {
        let Some(wanted) = &self.options.domain else {
            return false;
        };
        let wanted = wanted.to_string();
        let below = domain::domain_match(&cookie.domain, &wanted);
        let above = !cookie.host_only && domain::domain_match(&wanted, &cookie.domain);
        !below && !above
    }

    /// Makes host-only what can be nothing else, whatever the exporter wrote.
    fn mend(&mut self, cookie: &mut Cookie) {
        if cookie.host_only {
            return;
        }
        let prefix = b"__Host-";
        let prefixed = cookie
            .name
            .get(..prefix.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
        if prefixed {
            cookie.host_only = true;
            self.host_only.push(shown(&cookie.name));
        }
        // `localhost`, a machine's own name, an address: nothing lies below them.
        let lone =
            domain::is_public_suffix(&cookie.domain) && !domain::is_listed_suffix(&cookie.domain);
        if lone || domain::is_address(&cookie.domain) {
            cookie.host_only = true;
        }
    }

    fn place(&mut self, cookie: Cookie, partitioned: bool, twice: Twice) {
        let key = cookie.key();
        let Some((at, other)) = self.places.get_mut(&key) else {
            self.places.insert(key, (self.cookies.len(), partitioned));
            self.cookies.push(cookie);
            return;
        };
        let replaces = match (*other, partitioned) {
            (true, false) => true,
            (false, true) => false,
            _ => twice == Twice::LastWins,
        };
        let differs = self.cookies[*at].value != cookie.value;
        if *other == partitioned && differs {
            self.doubled.push(shown(&cookie.name));
        }
        if replaces {
            *other = partitioned;
            self.cookies[*at] = cookie;
        }
    }
}

/// Tells whether a cookie of this host (with a leading dot if for the hosts below as well) could ever be sent to the asked ones.
pub(super) fn wants(hosts: &[HostPattern], only: Option<&Host>, host: &str) -> bool {
    let (bare, host_only) = match host.strip_prefix('.') {
        Some(bare) => (bare, false),
        None => (host, true),
    };
    let bare = bare.to_ascii_lowercase();
    let above = |name: &str| !host_only && domain::domain_match(name, &bare);
    if let Some(only) = only {
        let only = only.to_string();
        return domain::domain_match(&bare, &only) || above(&only);
    }
    hosts.iter().any(|pattern| match pattern {
        HostPattern::Exact(exact) => {
            let exact = exact.to_string();
            exact == bare || above(&exact)
        }
        HostPattern::Below(suffix) => {
            let suffix = suffix.as_str();
            let below = bare != suffix && domain::domain_match(&bare, suffix);
            below || above(suffix)
        }
    })
}

/// Reads seconds since 1970 as files have them: a fraction is cut off, nothing and less is a session cookie, and what
/// is too large for seconds is milliseconds, as some exporters write.
pub(super) fn expiry(seconds: f64) -> Option<SystemTime> {
    const NO_SECONDS: f64 = 1e11;
    if seconds < 1.0 {
        return None;
    }
    let seconds = if seconds < NO_SECONDS {
        seconds
    } else {
        seconds / 1000.0
    };
    // Past the year 9999 all ends are alike; the jar cuts them to 400 days.
    let capped = seconds.min(253_402_300_799.0);
    UNIX_EPOCH.checked_add(Duration::from_secs(capped as u64))
}

/// Returns a cookie's name for a message.
pub(super) fn shown(name: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(name))
}

fn problem(why: Refused, limit: usize) -> String {
    match why {
        Refused::Malformed => {
            "a control character or `;` where none may be, a path without `/`, or neither name nor value".to_owned()
        }
        Refused::TooLarge => format!("name and value are longer than limits.cookie_bytes ({limit})"),
        Refused::Prefix => {
            "the prefix of its name asks for Secure (and `__Host-` for the path `/`)".to_owned()
        }
        other => other.to_string(),
    }
}

fn bounded(options: &Options, cookies: &[Cookie]) -> Result<(), Error> {
    let bounds = options.bounds;
    if cookies.len() > bounds.cookies {
        return Err(Error::TooMany {
            count: cookies.len(),
            of: String::new(),
            limit: "cookies",
            most: bounds.cookies,
        });
    }
    let mut domains = BTreeMap::<&str, usize>::new();
    for cookie in cookies {
        *domains.entry(&cookie.domain).or_default() += 1;
    }
    match domains.into_iter().find(|(_, n)| *n > bounds.per_domain) {
        None => Ok(()),
        Some((domain, count)) => Err(Error::TooMany {
            count,
            of: format!(" of {domain}"),
            limit: "cookies_per_domain",
            most: bounds.per_domain,
        }),
    }
}
