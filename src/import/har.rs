//! A recording of a browser's or a proxy's traffic (HAR 1.2): the cookies as they are at its end, and the last bearer
//! token.
//!
//! `Set-Cookie` is taken as a browser takes it, at the time that the recording says. What requests have sent and no
//! answer has set is assumed to be for their host alone.

use std::time::SystemTime;

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Error, Material, Options,
    collect::{Collector, Draft, Twice, shown, wants},
    header::{bearer, secret},
    recording::{self, fields, origin},
};
use crate::{
    jar::{Cookie, Jar},
    origin::{Origin, Scheme},
    secret::Secret,
};

pub(super) fn read(text: &[u8], options: &Options) -> Result<Material, Error> {
    let entries = recording::entries(text)?;
    let mut replay = Replay {
        options,
        jar: Jar::new(options.bounds),
        token: None,
        user_agent: None,
        told: false,
    };
    for (n, entry) in entries.iter().enumerate() {
        let failed = |problem: String| Error::Entry {
            place: format!("log.entries[{n}]"),
            problem,
        };
        replay.entry(entry).map_err(failed)?;
    }
    replay.finish()
}

/// The traffic once more.
struct Replay<'a> {
    options: &'a Options,
    jar: Jar,
    token: Option<Secret>,
    /// The last that was sent to a host that counts.
    user_agent: Option<String>,
    /// Whether any message has one of the fields, for whichever host.
    told: bool,
}

// === impl Replay ===

impl Replay<'_> {
    fn entry(&mut self, entry: &Value) -> Result<(), String> {
        let request = &entry["request"];
        let url = request["url"].as_str().ok_or("it has no request.url")?;
        // `data:`, `blob:`, and what extensions load.
        let Some((origin, path)) = origin(url) else {
            return Ok(());
        };
        let time = entry["startedDateTime"].as_str();
        let time = time.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        let now = time.map_or(self.options.now, Into::into);
        let host = origin.host.to_string();
        let is_asked = is_asked(self.options, &host);
        for (name, value) in fields(request) {
            if name.eq_ignore_ascii_case("cookie") {
                self.told = true;
                self.sent(value, &origin, &path, now);
            } else if name.eq_ignore_ascii_case("authorization") {
                self.told = true;
                if let Some(token) = bearer(value.as_bytes()).filter(|_| is_asked) {
                    self.token = Some(secret(token)?);
                }
            } else if name.eq_ignore_ascii_case("user-agent") && is_asked {
                self.user_agent = Some(value.to_owned());
            }
        }
        for (name, value) in fields(&entry["response"]) {
            if name.eq_ignore_ascii_case("set-cookie") {
                self.told = true;
                // Chrome puts several into one value.
                for line in value.lines() {
                    let _ = self.jar.store(&origin, &path, line.as_bytes(), now);
                }
            }
        }
        Ok(())
    }

    fn sent(&mut self, cookies: &str, origin: &Origin, path: &str, now: SystemTime) {
        let known = self.jar.cookie_string(origin, path, now);
        let known = known.as_ref().map_or(&b""[..], |value| value.as_bytes());
        let known: Vec<&[u8]> = known
            .split(|b| *b == b';')
            .map(<[u8]>::trim_ascii)
            .collect();
        for pair in cookies.split(';').map(str::trim) {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            if known.contains(&pair.as_bytes()) {
                continue;
            }
            let cookie = Cookie {
                name: name.as_bytes().to_vec(),
                value: Secret::new(value.as_bytes().to_vec()),
                domain: origin.host.to_string(),
                path: "/".to_owned(),
                host_only: true,
                secure: origin.scheme == Scheme::Https,
                http_only: false,
                same_site: None,
                expires: None,
                created: now,
                assumed: true,
            };
            // What does not fit is not there.
            let _ = self.jar.insert(cookie, now);
        }
    }

    fn finish(self) -> Result<Material, Error> {
        let Self {
            options,
            jar,
            token,
            user_agent,
            told,
        } = self;
        if !told {
            return Err(Error::Sanitized);
        }
        let mut collector = Collector::new(options);
        let mut elsewhere = 0;
        // By then some may be over: the collector says so.
        for cookie in jar.iter(SystemTime::UNIX_EPOCH) {
            let dot = if cookie.host_only { "" } else { "." };
            let host = format!("{dot}{}", cookie.domain);
            if !is_asked(options, &host) {
                elsewhere += 1;
                continue;
            }
            let draft = Draft {
                name: &cookie.name,
                value: cookie.value.expose(),
                domain: Some(&host),
                path: Some(&cookie.path),
                host_only: cookie.host_only,
                secure: Some(cookie.secure),
                http_only: cookie.http_only,
                same_site: cookie.same_site,
                expires: cookie.expires,
                partitioned: false,
                assumed: cookie.assumed,
            };
            collector
                .add(draft, Twice::LastWins)
                .map_err(|problem| Error::Entry {
                    place: format!("cookie {}", shown(&cookie.name)),
                    problem,
                })?;
        }
        let mut material = match (collector.finish(), &token) {
            (Err(Error::Empty | Error::NothingLeft(_)), Some(_)) => Material::default(),
            (Err(Error::Empty), None) if elsewhere > 0 => {
                let what = format!("{elsewhere} cookies for other hosts were left out");
                return Err(Error::NothingLeft(what));
            }
            (finished, _) => finished?,
        };
        let field = |token| ("access_token".to_owned(), token);
        material.fields.extend(token.map(field));
        material.user_agent = user_agent;
        Ok(material)
    }
}

/// Tells whether a host (with a leading dot: and those below it) is one whose cookies are taken.
fn is_asked(options: &Options, host: &str) -> bool {
    let any = options.domain.is_none() && options.hosts.is_empty();
    any || wants(&options.hosts, options.domain.as_ref(), host)
}
