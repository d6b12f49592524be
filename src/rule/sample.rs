//! Short ways to write rules, for tests.

use std::sync::Arc;

use http::Method;

use super::{Bind, Capture, HostPattern, Recipe, Target, glob::Glob};
use crate::origin::Origin;

/// Reads `[METHOD,…] scheme://host[:port][/path]`; `*.` before the host stands for any depth below it.
pub(crate) fn target(text: &str) -> Target {
    let (methods, url) = match text.split_once(' ') {
        Some((methods, url)) => (Some(methods), url),
        None => (None, text),
    };
    let below = url.contains("://*.");
    let url = url.replacen("://*.", "://", 1);
    let origin: Origin = url.parse().unwrap();
    let after = url.find("://").unwrap() + 3;
    let path = url[after..].find('/').map(|slash| &url[after + slash..]);
    let host = if below {
        HostPattern::Below(origin.host.name().unwrap().parse().unwrap())
    } else {
        HostPattern::Exact(origin.host)
    };
    Target {
        scheme: origin.scheme,
        host,
        port: origin.port,
        path: path.map(Glob::new),
        methods: methods.map(|methods| {
            let methods = methods.split(',');
            methods
                .map(|method| Method::from_bytes(method.as_bytes()).unwrap())
                .collect()
        }),
    }
}

/// Returns a binding; `when` is `name=value`.
pub(crate) fn bind(text: &str, when: Option<&str>) -> Bind {
    Bind {
        target: target(text),
        when: when.map(|when| {
            let (name, value) = when.split_once('=').unwrap();
            (name.parse().unwrap(), value.parse().unwrap())
        }),
    }
}

/// Returns a session of these clients (none: all), bound to these targets.
pub(crate) fn recipe(name: &str, clients: &[&str], binds: &[&str]) -> Recipe {
    Recipe {
        clients: (!clients.is_empty()).then(|| clients.iter().map(|c| (*c).into()).collect()),
        bind: binds.iter().map(|text| bind(text, None)).collect(),
        ..Recipe::new(Arc::<str>::from(name))
    }
}

pub(crate) fn capture(text: &str) -> Capture {
    Capture {
        target: target(text),
        request: Vec::new(),
        answer: Vec::new(),
        mask: false,
        coalesce: false,
    }
}
