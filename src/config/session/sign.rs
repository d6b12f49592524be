//! How requests are signed: `sign`, with the keys of its scheme.

use crate::{
    config::read::Keys,
    rule::{
        sign::{SigV4, Sign},
        template::Template,
    },
};

#[derive(Clone, Copy, Debug)]
enum Scheme {
    Adp,
    SigV4,
}

/// The keys of each scheme, those that it needs first.
const ADP: &[&str] = &["token", "key"];
const SIGV4: &[&str] = &["region", "service", "access_key_id", "secret_access_key"];

const HINT: &str =
    "sign = { scheme = \"adp\", token = \"{{ adp_token }}\", key = \"{{ device_private_key }}\" }";
const OF_SIGV4: &str = "sign = { scheme = \"sigv4\", region = \"eu-central-1\", service = \"s3\", access_key_id = \"{{ access_key_id }}\", secret_access_key = \"{{ secret_access_key }}\" }";

pub(super) fn read(keys: &Keys<'_>) -> Option<Sign> {
    let scheme = keys
        .need("scheme", HINT)
        .and_then(|at| at.choice(&[("adp", Scheme::Adp), ("sigv4", Scheme::SigV4)]));
    // All are asked for, so that none is unknown.
    let get = |key: &'static str| -> Option<Template> { keys.at(key)?.get() };
    let (token, key) = (get("token"), get("key"));
    let (region, service) = (get("region"), get("service"));
    let (key_id, secret) = (get("access_key_id"), get("secret_access_key"));
    let session_token = get("session_token");
    if scheme.is_none() {
        // Of a scheme that is not supported only this is said, not that its keys are unknown.
        let _ = (keys.at("over"), keys.at("header"));
    }
    let (own, others, hint) = match scheme? {
        Scheme::Adp => (ADP, SIGV4, HINT),
        Scheme::SigV4 => (SIGV4, ADP, OF_SIGV4),
    };
    for key in own.iter().filter(|key| !keys.has(key)) {
        keys.at.fault(format!("`{key}` is missing"), hint);
    }
    for key in others.iter().filter(|key| keys.has(key)) {
        keys.fault(key, "not a key of this scheme", hint);
    }
    match scheme? {
        Scheme::Adp => Some(Sign::Adp {
            token: token?,
            key: key?,
        }),
        Scheme::SigV4 => Some(Sign::SigV4(Box::new(SigV4 {
            region: region?,
            service: service?,
            access_key_id: key_id?,
            secret_access_key: secret?,
            session_token,
        }))),
    }
}
