//! What several answers teach, as one change: pure. Each is read against what those before it taught.

use std::{sync::Arc, time::SystemTime};

use super::{
    About, Answer,
    held::{Definition, Held},
    history::Part,
    lesson::{Lesson, Taught},
};
use crate::{
    grant::{Generation, Grant},
    jar::{Cookie, Key},
    store::{Change, Cookies, Durability},
};

/// The lessons of several answers, in their order.
#[derive(Debug)]
pub(super) struct Lessons {
    /// What is held after them.
    pub(super) held: Held,
    pub(super) taught: Arc<Taught>,
    /// The generations that they made, and whose answers did.
    pub(super) rotated: Vec<(Generation, Part)>,
    pub(super) held_back: Vec<Key>,
    put: Vec<Cookie>,
    remove: Vec<Key>,
    grant: bool,
    new_refresh_token: bool,
    keep_previous: bool,
}

// === impl Lessons ===

impl Lessons {
    /// Begins with what is held now.
    pub(super) fn new(held: Held, taught: Arc<Taught>) -> Self {
        Self {
            held,
            taught,
            rotated: Vec::new(),
            held_back: Vec::new(),
            put: Vec::new(),
            remove: Vec::new(),
            grant: false,
            new_refresh_token: false,
            keep_previous: false,
        }
    }

    /// Adds what an answer teaches; `fingerprint` is that of a grant's refresh token.
    ///
    /// `false`: nothing was added, for it is the beginning of another change. What is kept to go back to is what was
    /// held right before.
    pub(super) fn add(
        &mut self,
        definition: &Definition,
        answer: &Answer<'_>,
        now: SystemTime,
        fingerprint: impl FnOnce(&Grant) -> Option<String>,
    ) -> bool {
        let Some(lesson) = Lesson::read(&self.held, &self.taught, definition, answer, now) else {
            return true;
        };
        let keep_previous = lesson.new_refresh_token || lesson.ends;
        if keep_previous && !self.is_empty() {
            return false;
        }
        let is_empty = lesson.put.is_empty() && lesson.remove.is_empty() && lesson.grant.is_none();
        if is_empty {
            self.held_back.extend(lesson.held_back);
            return true;
        }
        Arc::make_mut(&mut self.taught).note(&lesson, answer.seen);
        self.keep_previous |= keep_previous;
        self.new_refresh_token |= lesson.new_refresh_token;
        self.take_in(lesson, answer.about, now, fingerprint);
        true
    }

    fn take_in(
        &mut self,
        lesson: Lesson,
        about: About<'_>,
        now: SystemTime,
        fingerprint: impl FnOnce(&Grant) -> Option<String>,
    ) {
        let held = &mut self.held;
        if lesson.moves {
            held.generation = held.generation.next();
            self.rotated.push((held.generation, Part::of(about)));
        }
        if let Some(grant) = lesson.grant {
            if lesson.new_refresh_token {
                held.token = fingerprint(&grant);
            }
            held.grant = grant;
            self.grant = true;
        }
        held.jar = lesson.jar;
        if lesson.counts {
            held.learnt_at = Some(now);
            held.ageless = false;
        }
        held.skew = lesson.skew.unwrap_or(held.skew);
        self.held_back.extend(lesson.held_back);
        self.put.extend(lesson.put);
        self.remove.extend(lesson.remove);
        // What one set, a later one may have replaced, deleted or evicted, and the other way round.
        let jar = &held.jar;
        self.put
            .retain(|cookie| jar.get(&cookie.key()) == Some(cookie));
        self.remove.retain(|key| jar.get(key).is_none());
    }

    /// Tells whether there is nothing to store.
    pub(super) fn is_empty(&self) -> bool {
        self.put.is_empty() && self.remove.is_empty() && !self.grant
    }

    /// Returns what is to be stored.
    pub(super) fn change(&self) -> Change {
        Change {
            generation: self.held.generation,
            grant: self.grant.then(|| Grant::clone(&self.held.grant)),
            cookies: if self.put.is_empty() && self.remove.is_empty() {
                Cookies::Keep
            } else {
                Cookies::Patch {
                    put: self.put.clone(),
                    remove: self.remove.clone(),
                }
            },
            notes: None,
            keep_previous: self.keep_previous,
        }
    }

    /// A token that can be spent once must outlive a loss of power before anybody has it.
    pub(super) fn durability(&self) -> Durability {
        if self.new_refresh_token {
            Durability::Synced
        } else {
            Durability::Written
        }
    }
}
