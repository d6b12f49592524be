//! Netscape's `cookies.txt`, in the one dialect that all its readers take.
//!
//! - The first line is the one that Python's `MozillaCookieJar` asks for.
//! - The domain has a leading dot exactly when field 2 is TRUE: Python asserts it.
//! - Expiries are integers: curl and Python take no others.
//! - An HttpOnly cookie is written twice: plain for wget, aria2 and old Pythons, to which every line with `#` is a
//!   comment, then with `#HttpOnly_` for those that know it and let the later line win.
//! - A session cookie gets the expiry 2147483647. Elsewhere it is written as 0, which Python takes for "over since
//!   1970", or as nothing, which curl does not read; and Python loads session cookies only when it is told to.
//!   [`import`](crate::import) reads the number back as a session cookie.

use super::{Written, seconds, shown};
use crate::{jar::Cookie, secret::Secret};

/// The last second of a 32-bit clock.
const SESSION: u64 = 2_147_483_647;

pub(super) fn write(cookies: &[&Cookie]) -> Written {
    let mut text = b"# Netscape HTTP Cookie File\n".to_vec();
    let mut warnings = Vec::new();
    for cookie in cookies {
        let parts = [&cookie.name, cookie.value.expose(), cookie.path.as_bytes()];
        if parts.iter().any(|part| part.contains(&b'\t')) {
            warnings.push(format!("{} was left out: it has a tab", shown(cookie)));
            continue;
        }
        let flag = |yes| if yes { "TRUE" } else { "FALSE" };
        let line = format!(
            "{}{}\t{}\t{}\t{}\t{}\t",
            if cookie.host_only { "" } else { "." },
            cookie.domain,
            flag(!cookie.host_only),
            cookie.path,
            flag(cookie.secure),
            cookie.expires.map_or(SESSION, seconds),
        );
        let ways: &[&str] = if cookie.http_only {
            &["", "#HttpOnly_"]
        } else {
            &[""]
        };
        for way in ways {
            text.extend_from_slice(way.as_bytes());
            text.extend_from_slice(line.as_bytes());
            text.extend_from_slice(&cookie.name);
            text.push(b'\t');
            text.extend_from_slice(cookie.value.expose());
            text.push(b'\n');
        }
    }
    Written {
        text: Secret::new(text),
        warnings,
    }
}
