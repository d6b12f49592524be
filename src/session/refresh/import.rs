//! `import`: what a person has elsewhere, read again: a browser's cookies, or a file that another program writes.

use std::{fs, io::Read as _};

use zeroize::Zeroizing;

use super::{Live, Renewed, Spend};
use crate::{
    import::{
        self, Error, From, Kind, Material, Options,
        browser::{self, Keyring, Places},
    },
    jar::{Bounds, Cookie},
    life::{Cause, Failure},
    origin::Scheme,
    rule::{Import, UserAgent, user_agent},
};

// === impl Live ===

impl Live {
    pub(super) async fn import(&self, import: &Import, spend: &Spend) -> Result<Renewed, Failure> {
        let reading = self.reading(import)?;
        let read = tokio::task::spawn_blocking(move || reading.read());
        let material = match read.await {
            Ok(read) => read?,
            Err(error) => return Err(Failure::NotAnAnswer(format!("reading it failed: {error}"))),
        };
        for warning in &material.warnings {
            tracing::debug!(session = %self.recipe.name, warning, "imported again");
        }
        self.missing(import, &material)?;
        let cookies = material.cookies.into_iter();
        let mut renewed = Renewed {
            cookies: cookies.filter(|new| is_wanted(new, spend)).collect(),
            fields: material.fields,
            expires_at: material.expires_at,
            ..Renewed::default()
        };
        if spend.cause == Cause::Rejected && !self.is_news(&renewed, spend) {
            let from = &import.from;
            return Err(Failure::Terminal(format!(
                "{from} has nothing newer than what was rejected"
            )));
        }
        if self.recipe.user_agent == Some(UserAgent::Learnt) {
            let learnt = material.user_agent.into_iter();
            let field = |text: String| (user_agent::FIELD.to_owned(), text.into());
            renewed.fields.extend(learnt.map(field));
        }
        Ok(renewed)
    }

    fn reading(&self, import: &Import) -> Result<Reading, Failure> {
        let from = import.from.parse();
        let from = from.map_err(|error: Error| Failure::Misconfigured(error.to_string()))?;
        let binds = &self.recipe.bind;
        let plain = !binds.is_empty() && binds.iter().all(|b| b.target.scheme == Scheme::Http);
        Ok(Reading {
            from,
            import: import.clone(),
            keyring: Keyring::Desktop(self.recipe.refresh.timeout),
            options: Options {
                domain: import.domain.clone(),
                scheme: if plain { Scheme::Http } else { Scheme::Https },
                bounds: Bounds::from(&self.http.limits),
                now: self.http.env.wall(),
                password: None,
                key: None,
                hosts: binds.iter().map(|bind| bind.target.host.clone()).collect(),
                values: self.recipe.values.clone(),
            },
        })
    }

    /// A browser without a required cookie is one that is signed out.
    fn missing(&self, import: &Import, material: &Material) -> Result<(), Failure> {
        let has = |name: &String| {
            let mut cookies = material.cookies.iter();
            cookies.any(|cookie| cookie.name == name.as_bytes())
        };
        let missing: Vec<&str> = self
            .recipe
            .cookies
            .required
            .iter()
            .filter(|name| !material.cookies.is_empty() && !has(name))
            .map(String::as_str)
            .collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(Failure::Terminal(format!(
                "{} has no cookie {}",
                import.from,
                missing.join(", ")
            ))),
        }
    }

    /// Tells whether a rejected credential would become another one.
    fn is_news(&self, renewed: &Renewed, spend: &Spend) -> bool {
        let required = &self.recipe.cookies.required;
        let counts = |cookie: &&Cookie| {
            let is_it = |name: &String| name.as_bytes() == cookie.name;
            required.is_empty() || required.iter().any(is_it)
        };
        let cookie = renewed.cookies.iter().filter(counts).any(|new| {
            let held = spend.jar.get(&new.key());
            held.is_none_or(|held| held.value != new.value)
        });
        let mut fields = renewed.fields.iter();
        cookie || fields.any(|(name, value)| spend.grant.field(name) != Some(value))
    }
}

/// Ahead of its end a cookie is taken only if it lasts longer: what the site has rotated here since must not be
/// replaced by what the browser has from before.
fn is_wanted(new: &Cookie, spend: &Spend) -> bool {
    if spend.cause != Cause::Background {
        return true;
    }
    match spend.jar.get(&new.key()).and_then(|held| held.expires) {
        Some(end) => new.expires.is_none_or(|new| new > end),
        None => true,
    }
}

/// All that reading needs, on a thread that may wait.
struct Reading {
    from: From,
    import: Import,
    keyring: Keyring,
    options: Options,
}

// === impl Reading ===

impl Reading {
    fn read(&self) -> Result<Material, Failure> {
        let read = match self.from {
            From::Browser(browser) => {
                let ask = browser::Ask {
                    browser,
                    profile: self.import.profile.as_deref(),
                    container: self.import.container.as_deref(),
                    hosts: &self.options.hosts,
                    places: &Places::of_process(),
                    keyring: &self.keyring,
                };
                browser::read(&ask, &self.options)
            }
            From::Text(kind) => import::read(kind, &self.file(kind)?, &self.options),
        };
        read.map_err(failure)
    }

    fn file(&self, kind: Kind) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let Some(path) = &self.import.file else {
            return Err(Failure::Misconfigured("it names no file".to_owned()));
        };
        let mut text = Zeroizing::new(Vec::new());
        let (shown, largest) = (path.display(), kind.largest());
        fs::File::open(path)
            .and_then(|file| file.take(largest + 1).read_to_end(&mut text))
            .map_err(|error| Failure::NotAnAnswer(format!("{shown} cannot be read: {error}")))?;
        if text.len() as u64 > largest {
            let why = format!("{shown} is larger than {} MiB", largest >> 20);
            return Err(Failure::Misconfigured(why));
        }
        Ok(text)
    }
}

/// Sorts errors: what waits for a person, what is a fault of the configuration, and what may be half written.
fn failure(error: Error) -> Failure {
    let hint = error.hint().map(|hint| format!("; {hint}"));
    let text = format!("{error}{}", hint.unwrap_or_default());
    match error {
        Error::Empty | Error::NothingLeft(_) | Error::Browser(browser::Error::Nothing { .. }) => {
            Failure::Terminal(text)
        }
        Error::Browser(browser::Error::Busy { .. } | browser::Error::Damaged { .. })
        | Error::Encoding
        | Error::Lines(_)
        | Error::Syntax { .. }
        | Error::Entry { .. }
        | Error::Sanitized
        | Error::Shape
        | Error::Key { .. }
        | Error::OtherSession { .. }
        | Error::OtherKind { .. } => Failure::NotAnAnswer(text),
        Error::Browser(_)
        | Error::Kind(_)
        | Error::NeedsPassword
        | Error::Password
        | Error::NeedsKey
        | Error::NeedsDomain
        | Error::TooMany { .. } => Failure::Misconfigured(text),
    }
}
