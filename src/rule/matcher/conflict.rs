//! Two sessions with equal claims to the same requests: refused at load, or one would win by chance.

use std::sync::Arc;

use super::{Conflict, Entry, What, rank};
use crate::rule::{Bind, Recipe};

/// Refuses two entries, one of each list, of two sessions, that are of equal rank and that one request can match.
/// Both lists are sorted, the most specific first.
pub(super) fn clash(recipes: &[Arc<Recipe>], a: &[Entry], b: &[Entry]) -> Result<(), Conflict> {
    let binds = |entries| binds(recipes, entries);
    for (first, bind) in binds(a) {
        let rank_of = rank(bind);
        // Sorted: the equals stand together.
        let equals = binds(b)
            .skip_while(|(_, other)| rank(other) > rank_of)
            .take_while(|(_, other)| rank(other) == rank_of);
        for (second, other) in equals {
            if first != second && meet(bind, other) {
                let (low, high) = (first.min(second), first.max(second));
                return Err(Conflict {
                    first: recipes[low].name.clone(),
                    second: recipes[high].name.clone(),
                    bind: other.target.to_string(),
                });
            }
        }
    }
    Ok(())
}

fn binds<'r>(
    recipes: &'r [Arc<Recipe>],
    entries: &'r [Entry],
) -> impl Iterator<Item = (usize, &'r Bind)> {
    entries.iter().filter_map(|entry| match entry.what {
        What::Bind(at) => Some((entry.recipe, &recipes[entry.recipe].bind[at])),
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
