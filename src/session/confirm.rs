//! Answers that stayed the same after a refresh (`confirm`): they are believed, and cause no further one, until the
//! same question is answered otherwise.
//!
//! Only keyed hashes are kept, of the question and of the answer; they survive a restart.

use std::sync::Arc;

use super::Session;
use crate::store::{Durability, Notes};

/// Answers remembered of one session.
const REMEMBERED: usize = 1000;

// === impl Session ===

impl Session {
    /// Tells whether this answer to this question stayed the same after a refresh.
    pub fn is_confirmed(&self, question: &str, answer: &[u8]) -> bool {
        let (question, answer) = self.prints(question, answer);
        self.inner().held.notes.confirmed.get(&question) == Some(&answer)
    }

    /// Remembers that this answer to this question stayed the same after a refresh.
    pub fn confirm(&self, question: &str, answer: &[u8]) {
        let (question, answer) = self.prints(question, answer);
        self.remember(move |notes| {
            let confirmed = &mut notes.confirmed;
            if confirmed.len() >= REMEMBERED && !confirmed.contains_key(&question) {
                // Keys are hashes: the first is any.
                confirmed.pop_first();
            }
            confirmed.insert(question.clone(), answer.clone());
        });
    }

    /// Forgets what was confirmed of these questions: they were answered otherwise.
    pub fn answered_otherwise(&self, questions: impl Iterator<Item = String>) {
        if self.inner().held.notes.confirmed.is_empty() {
            return;
        }
        for question in questions {
            let question = self.print("question", question.as_bytes());
            if self.inner().held.notes.confirmed.contains_key(&question) {
                self.remember(move |notes| drop(notes.confirmed.remove(&question)));
            }
        }
    }

    /// Changes what is remembered, here at once and in the store soon.
    fn remember(&self, change: impl Fn(&mut Notes) + Send + Sync + 'static) {
        change(Arc::make_mut(&mut self.inner().held.notes));
        let Some(session) = self.me.upgrade() else {
            return;
        };
        self.shared.spawn(async move {
            let Ok(_lease) = session.leased().await else {
                return;
            };
            if let Err(error) = session.note(Durability::Written, change).await {
                tracing::warn!(session = %session.id, %error, "a confirmed answer was not stored");
            }
        });
    }

    fn prints(&self, question: &str, answer: &[u8]) -> (String, String) {
        (
            self.print("question", question.as_bytes()),
            self.print("answer", answer),
        )
    }

    fn print(&self, purpose: &str, bytes: &[u8]) -> String {
        let purpose = format!("{purpose} {}", self.id);
        self.store.fingerprint(&purpose, bytes)
    }
}
