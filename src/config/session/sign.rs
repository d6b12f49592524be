//! How requests are signed: `sign`, with the keys of its scheme.

use crate::{config::read::Keys, rule::sign::Sign};

#[derive(Clone, Copy, Debug)]
enum Scheme {
    Adp,
}

pub(super) fn read(keys: &Keys<'_>) -> Option<Sign> {
    const HINT: &str = "sign = { scheme = \"adp\", token = \"{{ adp_token }}\", key = \"{{ device_private_key }}\" }";
    let scheme = keys
        .need("scheme", HINT)
        .and_then(|at| at.choice(&[("adp", Scheme::Adp)]));
    let token = keys.need("token", HINT).and_then(|at| at.get());
    let key = keys.need("key", HINT).and_then(|at| at.get());
    match scheme? {
        Scheme::Adp => Some(Sign::Adp {
            token: token?,
            key: key?,
        }),
    }
}
