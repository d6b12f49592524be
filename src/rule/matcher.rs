//! Which session a request belongs to: by client, origin, path, method and field; the most specific binding wins.
//!
//! Of the bindings that match, one comes before another by, in this order: an exact host before `*.suffix`, and a
//! longer suffix before a shorter one; a path before none, and a path that fixes more characters before one that
//! fixes fewer; methods before none; `when` before none. Two that are equal in all of it, of two sessions of one
//! client, and that one request could match, are a [`Conflict`].
//!
//! A path counts as it was sent and as it is once normalised: a binding must match both, a block either one.

mod conflict;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use http::{HeaderMap, Method};

pub use self::conflict::Conflict;
use self::conflict::Refused;
use super::{Bind, Capture, HostPattern, Recipe, Target, path};
use crate::origin::{Host, Origin, Scheme};

/// All bindings, captures and blocks of one configuration, looked up by host.
#[derive(Debug, Default)]
pub struct Matcher {
    recipes: Vec<Arc<Recipe>>,
    exact: HashMap<Host, Level>,
    below: HashMap<Box<str>, Level>,
}

/// What concerns one request. Nothing in it: the request goes on untouched.
#[derive(Debug, Default)]
pub struct Found<'m> {
    pub bound: Option<Bound>,
    pub captures: Vec<Captured<'m>>,
    pub blocked: Option<Blocked<'m>>,
}

/// The proof that a request goes where a session's credential may go. Only a matcher makes one, and nothing is
/// injected without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    recipe: usize,
    origin: Origin,
}

/// A request from whose answer a session learns.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'m> {
    pub recipe: usize,
    pub capture: &'m Capture,
}

/// A request that would destroy a shared session.
#[derive(Clone, Copy, Debug)]
pub struct Blocked<'m> {
    pub recipe: usize,
    pub target: &'m Target,
}

/// The rules of one host or suffix: for every client, and for each by name.
#[derive(Debug, Default)]
struct Level {
    any: Vec<Entry>,
    clients: HashMap<Box<str>, Vec<Entry>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    recipe: usize,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Bind(usize),
    Capture(usize),
    Block(usize),
}

/// What a request is matched by.
struct Asked<'r> {
    origin: &'r Origin,
    method: &'r Method,
    raw: &'r str,
    normal: &'r str,
    headers: &'r HeaderMap,
}

// === impl Matcher ===

impl Matcher {
    pub fn new(recipes: &[Arc<Recipe>]) -> Result<Self, Conflict> {
        let matcher = Self::of(recipes);
        match matcher.conflicts().into_iter().next() {
            Some(conflict) => Err(conflict),
            None => Ok(matcher),
        }
    }

    /// Tells of every binding that would have to go, of two that are as specific the later session's.
    pub fn check(recipes: &[Arc<Recipe>]) -> Vec<Conflict> {
        Self::of(recipes).conflicts()
    }

    fn of(recipes: &[Arc<Recipe>]) -> Self {
        let mut matcher = Self {
            recipes: recipes.to_vec(),
            ..Self::default()
        };
        for (index, recipe) in recipes.iter().enumerate() {
            let binds = (0..recipe.bind.len()).map(What::Bind);
            let captures = (0..recipe.captures.len()).map(What::Capture);
            let blocks = (0..recipe.blocks.len()).map(What::Block);
            for what in binds.chain(captures).chain(blocks) {
                matcher.add(
                    recipe,
                    Entry {
                        recipe: index,
                        what,
                    },
                );
            }
        }
        let Self {
            recipes,
            exact,
            below,
        } = &mut matcher;
        for level in exact.values_mut().chain(below.values_mut()) {
            level.sort(recipes);
        }
        matcher
    }

    fn conflicts(&self) -> Vec<Conflict> {
        let mut refused = Refused::default();
        for level in self.exact.values().chain(self.below.values()) {
            level.compare(&self.recipes, &mut refused);
        }
        refused.conflicts()
    }

    /// Tells whether a client's requests to `https://host:port` must be seen: a session of its is bound there, learns
    /// there or blocks there.
    pub fn decides(&self, client: Option<&str>, host: &Host, port: u16) -> bool {
        self.decides_for(client, Scheme::Https, host, port)
    }

    /// As [`decides`](Self::decides), for a scheme.
    pub fn decides_for(
        &self,
        client: Option<&str>,
        scheme: Scheme,
        host: &Host,
        port: u16,
    ) -> bool {
        self.levels(host).any(|level| {
            level.of(client).flatten().any(|entry| {
                let target = self.target(entry);
                target.scheme == scheme && target.port == port
            })
        })
    }

    /// Returns what concerns a request to an origin.
    pub fn find(
        &self,
        client: Option<&str>,
        origin: &Origin,
        method: &Method,
        path_and_query: &str,
        headers: &HeaderMap,
    ) -> Found<'_> {
        let mut found = Found::default();
        let raw = path::without_query(path_and_query);
        let mut normal = None;
        for level in self.levels(&origin.host) {
            let asked = Asked {
                origin,
                method,
                raw,
                normal: normal.get_or_insert_with(|| path::normalise(raw)),
                headers,
            };
            self.look(level, client, &asked, &mut found);
        }
        found
    }

    pub fn recipe(&self, index: usize) -> &Arc<Recipe> {
        &self.recipes[index]
    }

    pub fn recipes(&self) -> &[Arc<Recipe>] {
        &self.recipes
    }

    /// Returns every host that is bound, learnt from or blocked at, each once.
    pub fn hosts(&self) -> impl Iterator<Item = HostPattern> {
        let exact = self.exact.keys().cloned().map(HostPattern::Exact);
        let below = self.below.keys().map(|suffix| {
            HostPattern::Below(suffix.parse().expect("a suffix was a host name when added"))
        });
        exact.chain(below)
    }

    /// Looks at one level: the best binding unless a more specific level had one, and all the rest that matches.
    fn look<'m>(
        &'m self,
        level: &'m Level,
        client: Option<&str>,
        asked: &Asked<'_>,
        found: &mut Found<'m>,
    ) {
        let mut best: Option<(usize, &Bind)> = None;
        for entries in level.of(client) {
            let mut bound = found.bound.is_some();
            for entry in entries {
                let recipe = &self.recipes[entry.recipe];
                match entry.what {
                    What::Bind(_) if bound => {}
                    What::Bind(at) => {
                        let bind = &recipe.bind[at];
                        if !asked.is_bound_by(bind) {
                            continue;
                        }
                        // Entries are sorted: no later one of this list is better.
                        bound = true;
                        if best.is_none_or(|(_, other)| rank(bind) > rank(other)) {
                            best = Some((entry.recipe, bind));
                        }
                    }
                    What::Capture(at) => {
                        let capture = &recipe.captures[at];
                        if asked.is_within(&capture.target) {
                            found.captures.push(Captured {
                                recipe: entry.recipe,
                                capture,
                            });
                        }
                    }
                    What::Block(at) => {
                        let target = &recipe.blocks[at];
                        if found.blocked.is_none() && asked.touches(target) {
                            found.blocked = Some(Blocked {
                                recipe: entry.recipe,
                                target,
                            });
                        }
                    }
                }
            }
        }
        if let Some((recipe, _)) = best {
            found.bound = Some(Bound {
                recipe,
                origin: asked.origin.clone(),
            });
        }
    }

    /// Returns what is known of a host, the most specific first.
    fn levels<'m>(&'m self, host: &Host) -> impl Iterator<Item = &'m Level> {
        let name = host.name().filter(|_| !self.below.is_empty());
        let suffixes = name.into_iter().flat_map(|name| {
            name.bytes()
                .enumerate()
                .filter(|(_, b)| *b == b'.')
                .map(move |(dot, _)| &name[dot + 1..])
        });
        self.exact
            .get(host)
            .into_iter()
            .chain(suffixes.filter_map(|suffix| self.below.get(suffix)))
    }

    fn target(&self, entry: &Entry) -> &Target {
        target(&self.recipes, entry)
    }

    fn add(&mut self, recipe: &Recipe, entry: Entry) {
        let level = match &target(&self.recipes, &entry).host {
            HostPattern::Exact(host) => self.exact.entry(host.clone()).or_default(),
            HostPattern::Below(suffix) => self.below.entry(suffix.as_str().into()).or_default(),
        };
        match &recipe.clients {
            Some(names) if !names.iter().any(|name| name == "*") => {
                for name in names {
                    let entries = level.clients.entry(name.as_str().into()).or_default();
                    entries.push(entry);
                }
            }
            _ => level.any.push(entry),
        }
    }
}

fn target<'r>(recipes: &'r [Arc<Recipe>], entry: &Entry) -> &'r Target {
    let recipe = &recipes[entry.recipe];
    match entry.what {
        What::Bind(at) => &recipe.bind[at].target,
        What::Capture(at) => &recipe.captures[at].target,
        What::Block(at) => &recipe.blocks[at],
    }
}

/// The specificity of a binding within its host: the greater wins.
fn rank(bind: &Bind) -> (Option<usize>, bool, bool) {
    let path = bind.target.path.as_ref().map(super::glob::Glob::weight);
    (path, bind.target.methods.is_some(), bind.when.is_some())
}

// === impl Level ===

impl Level {
    /// Returns the rules that a client's request can meet.
    fn of(&self, client: Option<&str>) -> impl Iterator<Item = &Vec<Entry>> {
        let own = client.and_then(|client| self.clients.get(client));
        own.into_iter().chain([&self.any])
    }

    fn sort(&mut self, recipes: &[Arc<Recipe>]) {
        let key = |entry: &Entry| match entry.what {
            What::Bind(at) => Some(rank(&recipes[entry.recipe].bind[at])),
            What::Capture(_) | What::Block(_) => None,
        };
        for entries in self.clients.values_mut().chain([&mut self.any]) {
            // Stable: of one session's own equals the first written wins.
            entries.sort_by_key(|entry| std::cmp::Reverse(key(entry)));
        }
    }

    /// Compares the claims of all sessions. Clients are compared with themselves and with `any` alone, so that
    /// thousands of sessions of one host, each of one client, are no square.
    fn compare(&self, recipes: &[Arc<Recipe>], refused: &mut Refused) {
        refused.compare(recipes, &self.any, &self.any);
        // In the order of their names: whose binding is refused depends on it.
        let mut clients: Vec<_> = self.clients.iter().collect();
        clients.sort_unstable_by_key(|(name, _)| *name);
        for (_, own) in clients {
            refused.compare(recipes, own, own);
            refused.compare(recipes, &self.any, own);
        }
    }
}

// === impl Asked ===

impl Asked<'_> {
    fn is_bound_by(&self, bind: &Bind) -> bool {
        // TRACE is answered with the request itself: whoever sends it would read the credential (RFC 9110 §9.3.8).
        *self.method != Method::TRACE
            && self.is_within(&bind.target)
            && bind.when.as_ref().is_none_or(|(name, value)| {
                self.headers.get_all(name).iter().any(|sent| sent == value)
            })
    }

    /// Tells whether the request is in the set however its path is read.
    fn is_within(&self, target: &Target) -> bool {
        self.is_for(target)
            && target
                .path
                .as_ref()
                .is_none_or(|path| path.matches(self.raw) && path.matches(self.normal))
    }

    /// Tells whether the request is in the set by one reading of its path.
    fn touches(&self, target: &Target) -> bool {
        self.is_for(target)
            && target
                .path
                .as_ref()
                .is_none_or(|path| path.matches(self.raw) || path.matches(self.normal))
    }

    fn is_for(&self, target: &Target) -> bool {
        target.scheme == self.origin.scheme
            && target.port == self.origin.port
            && target
                .methods
                .as_ref()
                .is_none_or(|methods| methods.contains(self.method))
    }
}

// === impl Bound ===

impl Bound {
    /// Returns the index of the session's recipe.
    pub fn recipe(&self) -> usize {
        self.recipe
    }

    /// Returns the origin that the credential may go to with this request.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}
