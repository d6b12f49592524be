//! Where a credential goes, where one is sent to sign in, and where one signs out.

use super::{secrets::Secrets, tokens::Inject};
use crate::{
    import::recording::Exchange,
    origin::{Host, Origin, Scheme},
};

/// A place of `bind`.
pub(super) struct Bind {
    pub(super) origin: Origin,
    /// Below which all its requests with a token were; `None`: the whole host.
    pub(super) path: Option<String>,
}

/// Words in paths that sign in and out.
const LOGIN: [&str; 8] = [
    "login",
    "signin",
    "sign-in",
    "sign_in",
    "logon",
    "log-in",
    "sso",
    "session/new",
];
const LOGOUT: [&str; 7] = [
    "logout", "signout", "sign-out", "sign_out", "log-out", "logoff", "revoke",
];

/// Returns the site that was recorded: the registrable domain of its first page, else of its first request.
pub(super) fn site(exchanges: &[Exchange]) -> Option<String> {
    let page = exchanges.iter().find(|exchange| exchange.is_html);
    let first = page.or_else(|| exchanges.first())?;
    Some(registrable(&first.origin.host))
}

/// Returns a short name for the site.
pub(super) fn name(site: &str) -> String {
    let label = match site.parse::<std::net::IpAddr>() {
        Ok(_) => "site",
        Err(_) => site.split('.').next().unwrap_or("site"),
    };
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let name: String = label.chars().filter(plain).collect();
    if name.is_empty() {
        "site".to_owned()
    } else {
        name
    }
}

pub(super) fn is_of(site: &str, host: &Host) -> bool {
    registrable(host) == site
}

fn registrable(host: &Host) -> String {
    let host = host.to_string();
    match host.parse::<std::net::IpAddr>() {
        Ok(_) => host,
        Err(_) => psl::domain_str(&host).unwrap_or(&host).to_owned(),
    }
}

/// Returns the hosts that got the site's cookies or a token.
pub(super) fn binds(
    exchanges: &[Exchange],
    site: &str,
    injects: &[Inject],
    has_cookies: bool,
    secrets: &Secrets,
) -> Vec<Bind> {
    let mut binds: Vec<(Bind, bool)> = Vec::new();
    for exchange in exchanges {
        // A credential goes over plain http on this machine alone; `check` says so too.
        let local = ["localhost", "127.0.0.1", "::1"];
        let host = exchange.origin.host.to_string();
        if exchange.origin.scheme == Scheme::Http && !local.contains(&host.as_str()) {
            continue;
        }
        let own = is_of(site, &exchange.origin.host);
        let by_cookie = has_cookies && own && exchange.cookies().next().is_some();
        let by_token = injects
            .iter()
            .any(|inject| inject.is_on(exchange) && (own || inject.is_token()));
        if !by_cookie && !by_token {
            continue;
        }
        let path = secrets.clean(&exchange.path);
        let below = path[1..].split('/').next().unwrap_or_default();
        let below = Some(below).filter(|below| path.len() > below.len() + 1 && *below != "*");
        let below = below.map(|below| format!("/{below}/*"));
        match binds
            .iter_mut()
            .find(|(bind, _)| bind.takes(&exchange.origin))
        {
            None => binds.push((
                Bind {
                    origin: exchange.origin.clone(),
                    path: below,
                },
                by_cookie,
            )),
            Some((bind, cookies)) => {
                *cookies |= by_cookie;
                if bind.path != below {
                    bind.path = None;
                }
            }
        }
    }
    let narrowed = binds.into_iter().map(|(bind, cookies)| Bind {
        path: bind.path.filter(|_| !cookies),
        ..bind
    });
    narrowed.collect()
}

/// Returns where bound requests were sent to sign in.
pub(super) fn logins(
    exchanges: &[Exchange],
    bound: &dyn Fn(&Exchange) -> bool,
    clean: &dyn Fn(&str) -> String,
) -> Vec<(u16, String)> {
    let mut logins: Vec<(u16, String)> = Vec::new();
    for exchange in exchanges.iter().filter(|exchange| bound(exchange)) {
        let Some(to) = exchange.leads_to() else {
            continue;
        };
        let Some(path) = up_to(&clean(&to), &LOGIN) else {
            continue;
        };
        // Steps of a login lead to one another.
        if up_to(&exchange.path, &LOGIN).is_some() {
            continue;
        }
        let login = (exchange.status, path);
        if !logins.contains(&login) {
            logins.push(login);
        }
    }
    logins
}

/// Tells whether a request signs out.
pub(super) fn signs_out(exchange: &Exchange) -> bool {
    up_to(&exchange.path, &LOGOUT).is_some()
}

/// Returns what signs out on the site.
pub(super) fn logouts(
    exchanges: &[Exchange],
    site: &str,
    clean: &dyn Fn(&str) -> String,
) -> Vec<(String, String)> {
    let mut logouts = Vec::new();
    for exchange in exchanges {
        let own = is_of(site, &exchange.origin.host) && exchange.origin.scheme == Scheme::Https;
        let Some(path) = up_to(&clean(&exchange.path), &LOGOUT).filter(|_| own) else {
            continue;
        };
        let logout = (exchange.origin.host.to_string(), path);
        if !logouts.contains(&logout) {
            logouts.push(logout);
        }
    }
    logouts
}

/// Returns a path up to the end of the part that has one of the words, and whatever comes behind.
fn up_to(path: &str, words: &[&str]) -> Option<String> {
    let lower = path.to_ascii_lowercase();
    let at = words
        .iter()
        .filter_map(|word| Some(lower.find(word)? + word.len()))
        .min()?;
    let end = path[at..].find('/').map_or(path.len(), |more| at + more);
    Some(format!("{}*", path[..end].trim_end_matches('*')))
}

// === impl Bind ===

impl Bind {
    pub(super) fn takes(&self, origin: &Origin) -> bool {
        self.origin == *origin
    }
}
