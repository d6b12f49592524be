//! Who is answered: the right `Host` (a page elsewhere whose name was made to lead here is not us), no page of
//! another site, and whoever has the token.

use axum::{
    Router,
    extract::{Request, State as Given},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN,
            REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};

use super::{
    State,
    problem::Problem,
    token::{CHALLENGE, PROOF},
};
use crate::{config::Listen, origin::Authority};

/// What is answered without the token: the page, which has nothing in it, and the probes.
const OPEN: [&str; 5] = ["/", "/page.js", "/page.css", "/healthz", "/readyz"];

/// What a browser may do with our answers: nothing but show our own page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn admin(router: Router<State>, state: &State) -> Router<State> {
    router
        .layer(from_fn_with_state(state.clone(), check))
        .layer(from_fn(fields))
}

pub(super) fn health(router: Router<State>) -> Router<State> {
    router.layer(from_fn(fields))
}

async fn check(Given(state): Given<State>, request: Request, next: Next) -> Response {
    let challenge = request.headers().get(CHALLENGE).cloned();
    let mut response = match permit(&state, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(challenge) = challenge {
        let proof = HeaderValue::try_from(state.token.proof(challenge.as_bytes()));
        let proof = proof.expect("hexadecimal digits are a field value");
        response.headers_mut().insert(PROOF, proof);
    }
    response
}

fn permit(state: &State, request: &Request) -> Result<(), Problem> {
    let (headers, path) = (request.headers(), request.uri().path());
    let refuse = |status, detail: &str| Problem::new(status, detail).at(path);
    let port = match &state.facts.admin {
        Some(Listen::Tcp(address)) => Some(address.port()),
        // A browser does not get at a unix socket, and a name does not lead to one.
        Some(Listen::Unix(_)) | None => None,
    };
    if let Some(port) = port {
        if !is_own_host(headers, port) {
            return Err(refuse(
                StatusCode::MISDIRECTED_REQUEST,
                "the Host is not this machine's own",
            )
            .hint(format!("ask http://127.0.0.1:{port}")));
        }
        let safe = [Method::GET, Method::HEAD].contains(request.method());
        if !safe && is_foreign_page(headers, port) {
            return Err(refuse(
                StatusCode::FORBIDDEN,
                "a page of another site may change nothing here",
            ));
        }
    }
    if OPEN.contains(&path) {
        return Ok(());
    }
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given.and_then(|value| {
        let (scheme, token) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
    });
    if given.is_some_and(|token| state.token.is(token.trim_ascii())) {
        return Ok(());
    }
    let file = super::token::file(&state.facts.state);
    let detail = if given.is_some() {
        "the token is not the one of this proxy"
    } else {
        "the token is missing"
    };
    Err(refuse(StatusCode::UNAUTHORIZED, detail).hint(format!(
        "send `Authorization: Bearer TOKEN` with what {} has",
        file.display()
    )))
}

/// Tells whether `Host` is a name of loopback, with our port.
fn is_own_host(headers: &HeaderMap, port: u16) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    host.to_str().is_ok_and(|host| is_own(host, port, 80))
}

/// Tells whether a browser says that the request is from a page that is not ours.
fn is_foreign_page(headers: &HeaderMap, port: u16) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let origin = text(ORIGIN).is_some_and(|origin| {
        let authority = origin.strip_prefix("http://");
        !authority.is_some_and(|authority| is_own(authority, port, 80))
    });
    let site = text(HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| !["same-origin", "none"].contains(&site));
    origin || site
}

fn is_own(authority: &str, port: u16, default: u16) -> bool {
    let Ok(Authority { host, port: given }) = authority.parse() else {
        return false;
    };
    let host = host.to_string();
    let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let own = host == "localhost" || ip.is_ok_and(|ip| ip.to_canonical().is_loopback());
    own && given.unwrap_or(default) == port
}

/// Adds what every answer has.
async fn fields(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        let value = HeaderValue::from_static("Bearer realm=\"staysigned\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            let name = HeaderName::try_from(*name).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn hosts() {
        for (host, expected) in [
            ("127.0.0.1:8081", true),
            ("localhost:8081", true),
            ("LOCALHOST:8081", true),
            ("[::1]:8081", true),
            ("127.0.0.2:8081", true),
            ("127.0.0.1:8080", false),
            ("127.0.0.1", false),
            ("evil.example:8081", false),
            ("localhost.evil.example:8081", false),
            ("192.168.0.1:8081", false),
            ("", false),
        ] {
            assert_eq!(
                is_own_host(&headers(&[("host", host)]), 8081),
                expected,
                "{host}"
            );
        }
        assert!(is_own_host(&headers(&[("host", "localhost")]), 80));
        assert!(!is_own_host(&HeaderMap::new(), 8081));
        let twice = headers(&[("host", "127.0.0.1:8081"), ("host", "evil.example")]);
        assert!(!is_own_host(&twice, 8081));
    }

    #[test]
    fn pages() {
        for (list, foreign) in [
            (&[][..], false),
            (&[("origin", "http://127.0.0.1:8081")], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "http://127.0.0.1:9000")], true),
            (&[("origin", "https://127.0.0.1:8081")], true),
            (&[("origin", "null")], true),
            (&[("origin", "http://evil.example")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
            (
                &[
                    ("origin", "http://127.0.0.1:8081"),
                    ("sec-fetch-site", "cross-site"),
                ],
                true,
            ),
        ] {
            assert_eq!(is_foreign_page(&headers(list), 8081), foreign, "{list:?}");
        }
    }
}
