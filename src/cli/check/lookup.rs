//! Which session a request meets, and what it would be sent with; names alone, never a value.

use std::fmt;

use http::{HeaderMap, Method, Uri};
use serde::Serialize;

use super::Ask;
use crate::{
    config::{Config, Diagnostics, Unmatched},
    origin::{Origin, Scheme},
    rule::{
        Mode, Recipe, Target, inject,
        matcher::{Found, Matcher},
        path,
        template::Template,
    },
};

/// What becomes of one request.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    pub method: String,
    /// Without its query, which may hold a secret.
    pub url: String,
    pub client: Option<String>,
    pub decision: Decision,
    pub session: Option<String>,
    pub provider: Option<String>,
    /// The bindings of the session that the request is in.
    pub bindings: Vec<String>,
    pub sends: Vec<Sent>,
    /// Sessions that learn from the answer.
    pub captured_by: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Sent with the session's credential.
    Session,
    /// Seen, and sent as it is: no binding is for this path and method.
    Unbound,
    /// Sent as it is: its query carries a signature of its own.
    Presigned,
    /// Refused: it would end a shared session.
    Blocked,
    /// Passed on unread.
    Tunnel,
    /// Plain http, passed on as it is.
    Forward,
    /// Refused: no session is for this host.
    Deny,
}

/// One thing that is put on the request.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    /// `header`, `query`, `cookie`, the jar's cookies or `signature`.
    pub place: String,
    /// How, or the scheme of a signature.
    pub mode: &'static str,
    /// The fields and cookies it is made of.
    pub from: Vec<String>,
}

/// Looks a request up; an error says what is wrong with the question.
pub fn look_up(config: &Config, ask: &Ask) -> Result<Answer, Diagnostics> {
    let (origin, uri) = target(&ask.url)?;
    if let Some(client) = &ask.client
        && !config.clients.iter().any(|known| *known.name == **client)
    {
        let known: Vec<_> = config.clients.iter().map(|client| &*client.name).collect();
        let hint = match known.as_slice() {
            [] => "there are no [clients]: leave --client out".to_owned(),
            known => format!("known: {}", known.join(", ")),
        };
        return Err(Diagnostics::of_question(
            format!("there is no client {client}"),
            hint,
        ));
    }
    let matcher = Matcher::new(&config.recipes).map_err(|conflict| {
        Diagnostics::of_question(conflict.to_string(), "make one more specific".to_owned())
    })?;
    let client = ask.client.as_deref();
    let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
    let find =
        |headers: &HeaderMap| matcher.find(client, &origin, &ask.method, path_and_query, headers);
    let found = find(&HeaderMap::new());
    let seen = origin.scheme == Scheme::Http || matcher.decides(client, &origin.host, origin.port);

    let mut answer = Answer {
        method: ask.method.to_string(),
        url: format!(
            "{}://{}{}",
            origin.scheme,
            origin.authority(),
            path::without_query(path_and_query)
        ),
        client: ask.client.clone(),
        decision: unmatched(config, &matcher, client, &origin, seen),
        session: None,
        provider: None,
        bindings: Vec::new(),
        sends: Vec::new(),
        captured_by: Vec::new(),
        notes: Vec::new(),
    };
    let name = |index: usize| matcher.recipe(index).name.to_string();
    let captured = found.captures.iter().map(|capture| name(capture.recipe));
    answer.captured_by = captured.collect();
    if let Some(blocked) = &found.blocked {
        answer.decision = Decision::Blocked;
        answer.session = Some(name(blocked.recipe));
        answer.bindings = vec![blocked.target.to_string()];
    } else if let Some(bound) = &found.bound {
        answer.describe(matcher.recipe(bound.recipe()), &origin, &uri, &ask.method);
    }
    answer.remark(config, ask, &found, &find, &matcher, &origin);
    Ok(answer)
}

fn target(url: &str) -> Result<(Origin, Uri), Diagnostics> {
    let wrong = |message: String| {
        let hint = "an absolute URL: https://api.example.com/v1/me".to_owned();
        Diagnostics::of_question(message, hint)
    };
    let origin = url
        .parse::<Origin>()
        .map_err(|error| wrong(format!("not a URL: {error}")))?;
    let uri = url
        .parse::<Uri>()
        .map_err(|_| wrong("not a URL: it has a character that no URL has".to_owned()))?;
    Ok((origin, uri))
}

/// What becomes of a request that no binding and no block is for.
fn unmatched(
    config: &Config,
    matcher: &Matcher,
    client: Option<&str>,
    origin: &Origin,
    seen: bool,
) -> Decision {
    let ours = matcher.decides_for(client, origin.scheme, &origin.host, origin.port);
    match (ours, config.unmatched) {
        (true, _) => Decision::Unbound,
        (false, Unmatched::Deny) => Decision::Deny,
        (false, Unmatched::Tunnel) if seen => Decision::Forward,
        (false, Unmatched::Tunnel) => Decision::Tunnel,
    }
}

// === impl Answer ===

impl Answer {
    fn describe(&mut self, recipe: &Recipe, origin: &Origin, uri: &Uri, method: &Method) {
        self.session = Some(recipe.name.to_string());
        self.provider.clone_from(&recipe.provider);
        let raw = uri.path();
        let normal = path::normalise(raw);
        let here = |target: &&Target| {
            let Target {
                scheme,
                host,
                port,
                path,
                methods,
            } = target;
            *scheme == origin.scheme
                && *port == origin.port
                && host.matches(&origin.host)
                && (path.as_ref()).is_none_or(|path| path.matches(raw) && path.matches(&normal))
                && (methods.as_ref()).is_none_or(|methods| methods.contains(method))
        };
        let targets = recipe.bind.iter().map(|bind| &bind.target);
        self.bindings = targets.filter(here).map(Target::to_string).collect();
        if inject::is_left_alone(recipe, uri) {
            self.decision = Decision::Presigned;
            return;
        }
        self.decision = Decision::Session;
        let injected = recipe.inject.iter().map(|inject| Sent {
            place: inject.place.to_string(),
            mode: mode(inject.mode),
            from: from(&inject.value),
        });
        self.sends = injected.collect();
        if recipe.cookies.enabled {
            self.sends.push(Sent {
                place: "cookies of the jar".to_owned(),
                mode: "replace",
                from: recipe.cookies.required.clone(),
            });
        }
        if let Some(sign) = &recipe.sign {
            self.sends.push(Sent {
                place: "signature".to_owned(),
                mode: sign.scheme(),
                from: sign.templates().flat_map(from).collect(),
            });
        }
    }

    fn remark<'m>(
        &mut self,
        config: &Config,
        ask: &Ask,
        found: &Found<'m>,
        find: &dyn Fn(&HeaderMap) -> Found<'m>,
        matcher: &Matcher,
        origin: &Origin,
    ) {
        if ask.client.is_none() && !config.clients.is_empty() {
            let note = "as nobody in particular: name a client with --client";
            self.notes.push(note.to_owned());
        }
        let bound = found.bound.as_ref().map(|bound| bound.recipe());
        for recipe in matcher.recipes() {
            for (name, value) in recipe.bind.iter().filter_map(|bind| bind.when.as_ref()) {
                let headers = HeaderMap::from_iter([(name.clone(), value.clone())]);
                let with = find(&headers).bound.map(|bound| bound.recipe());
                let Some(with) = with.filter(|with| Some(*with) != bound) else {
                    continue;
                };
                let session = &matcher.recipe(with).name;
                let note = format!("with the right field {name}: session {session}");
                if !self.notes.contains(&note) {
                    self.notes.push(note);
                }
            }
        }
        if self.session.is_none() {
            let near = matcher.recipes().iter().filter(|recipe| {
                let mut hosts = recipe.bind.iter().map(|bind| &bind.target.host);
                recipe.serves(ask.client.as_deref()) && hosts.any(|h| h.matches(&origin.host))
            });
            for recipe in near {
                let note = format!(
                    "near: session {} is bound to {}",
                    recipe.name,
                    recipe.bound_to().join(", ")
                );
                self.notes.push(note);
            }
        }
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Replace => "replace",
        Mode::IfMissing => "if_missing",
        Mode::IfPresent => "if_present",
        Mode::OnChallenge => "on_challenge",
    }
}

fn from(template: &Template) -> Vec<String> {
    let cookies = template.cookies().map(|name| format!("cookies['{name}']"));
    template
        .fields()
        .map(str::to_owned)
        .chain(cookies)
        .collect()
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client.as_ref().map(|client| format!(" as {client}"));
        writeln!(
            f,
            "{} {}{}",
            self.method,
            self.url,
            client.unwrap_or_default()
        )?;
        let session = self.session.as_deref().unwrap_or_default();
        let verdict = match self.decision {
            Decision::Session => format!("sent with session {session}"),
            Decision::Unbound => {
                "sent as it is: no session is bound to this path and method".to_owned()
            }
            Decision::Presigned => {
                format!("sent as it is: its query carries a signature (session {session})")
            }
            Decision::Blocked => format!("refused (403): session {session} blocks it"),
            Decision::Tunnel => "passed on unread: no session is for this host".to_owned(),
            Decision::Forward => "passed on as it is: no session is for this host".to_owned(),
            Decision::Deny => {
                "refused (403): no session is for this host, and `unmatched` is \"deny\"".to_owned()
            }
        };
        writeln!(f, "  {verdict}")?;
        for binding in &self.bindings {
            writeln!(f, "  rule: {binding}")?;
        }
        for Sent { place, mode, from } in &self.sends {
            let from = match from.as_slice() {
                [] => String::new(),
                from => format!(", from {}", from.join(", ")),
            };
            writeln!(f, "  {place} ({mode}{from})")?;
        }
        for session in &self.captured_by {
            writeln!(f, "  session {session} learns from the answer")?;
        }
        for note in &self.notes {
            writeln!(f, "  note: {note}")?;
        }
        Ok(())
    }
}
