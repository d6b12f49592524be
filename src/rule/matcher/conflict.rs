//! Two sessions with equal claims to the same requests: refused at load, or one would win by chance.

use std::{collections::HashSet, sync::Arc};

use super::{Entry, What, rank};
use crate::rule::{Bind, Recipe};

/// Two sessions want the same requests of one client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sessions {first} and {second} are bound to {bind} equally specifically")]
pub struct Conflict {
    pub first: Arc<str>,
    pub second: Arc<str>,
    /// The binding of the second, as `status` prints it.
    pub bind: String,
    /// Where it stands: the second's recipe, and which of its bindings.
    pub at: (usize, usize),
}

/// The bindings that were refused, each with what it is as specific as.
#[derive(Debug, Default)]
pub(super) struct Refused {
    binds: HashSet<(usize, usize)>,
    conflicts: Vec<Conflict>,
}

/// A binding, and where it stands: whose it is, and which of these.
type Placed<'r> = ((usize, usize), &'r Bind);

// === impl Refused ===

impl Refused {
    /// Refuses bindings of two lists where one request can match those of two sessions and none is the more specific:
    /// that of the later session. What is refused is compared with nothing any more, so that thousands that all want
    /// the same are no square. Both lists are sorted, the most specific first.
    pub(super) fn compare(&mut self, recipes: &[Arc<Recipe>], a: &[Entry], b: &[Entry]) {
        let others: Vec<Placed<'_>> = binds(recipes, b).collect();
        for (first, bind) in binds(recipes, a) {
            let rank_of = rank(bind);
            let from = others.partition_point(|(_, other)| rank(other) > rank_of);
            let equals = others[from..].iter();
            for (second, other) in equals.take_while(|(_, other)| rank(other) == rank_of) {
                if self.binds.contains(&first) {
                    break;
                }
                if first.0 != second.0 && !self.binds.contains(second) && meet(bind, other) {
                    self.refuse(recipes, (first, bind), (*second, other));
                }
            }
        }
    }

    /// Returns the conflicts, in the order of the bindings that were refused.
    pub(super) fn conflicts(mut self) -> Vec<Conflict> {
        self.conflicts.sort_unstable_by_key(|conflict| conflict.at);
        self.conflicts
    }

    fn refuse(&mut self, recipes: &[Arc<Recipe>], a: Placed<'_>, b: Placed<'_>) {
        let ((first, _), (at, bind)) = if a.0 < b.0 { (a, b) } else { (b, a) };
        self.binds.insert(at);
        self.conflicts.push(Conflict {
            first: recipes[first.0].name.clone(),
            second: recipes[at.0].name.clone(),
            bind: bind.target.to_string(),
            at,
        });
    }
}

fn binds<'r>(recipes: &'r [Arc<Recipe>], entries: &'r [Entry]) -> impl Iterator<Item = Placed<'r>> {
    entries.iter().filter_map(|entry| match entry.what {
        What::Bind(at) => Some(((entry.recipe, at), &recipes[entry.recipe].bind[at])),
        What::Capture(_) | What::Block(_) => None,
    })
}

/// Tells whether one request can match both of two bindings of one host and rank.
fn meet(a: &Bind, b: &Bind) -> bool {
    let (x, y) = (&a.target, &b.target);
    let origin = x.scheme == y.scheme && x.port == y.port;
    let path = match (&x.path, &y.path) {
        (Some(x), Some(y)) => x.overlaps(y),
        _ => true,
    };
    let methods = match (&x.methods, &y.methods) {
        (Some(x), Some(y)) => x.iter().any(|method| y.contains(method)),
        _ => true,
    };
    // Two fields can both be there; two values of one field tell the sessions apart.
    let when = match (&a.when, &b.when) {
        (Some((x, value)), Some((y, other))) => x != y || value == other,
        _ => true,
    };
    origin && path && methods && when
}
