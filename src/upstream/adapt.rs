//! A request in the form of the upstream's protocol (RFC 9113 §8.3.1, §8.2.3).

use http::{
    HeaderMap, HeaderValue, Method, Request, Uri, Version,
    header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING},
    uri::PathAndQuery,
};
use http_body::Body as _;

use super::body::Body;
use crate::origin::Origin;

/// Gives a request its HTTP/1.1 form: origin-form target, `Host` first if it had none, one `Cookie` field, and the framing
/// of a body that the library would leave out because few requests of its method have one.
pub(super) fn to_http1(mut request: Request<Body>, origin: &Origin) -> Request<Body> {
    *request.version_mut() = Version::HTTP_11;
    let rare = matches!(*request.method(), Method::GET | Method::HEAD);
    if rare && has_unknown_length(&request) {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
    let has_host = request.headers().contains_key(HOST);
    let crumbs = request.headers().get_all(COOKIE).iter().nth(1).is_some();
    if has_host && !crumbs {
        return request;
    }
    let old = std::mem::take(request.headers_mut());
    let mut headers = HeaderMap::with_capacity(old.len() + 1);
    if !has_host && let Ok(host) = HeaderValue::try_from(origin.authority()) {
        headers.insert(HOST, host);
    }
    let cookie = crumbs.then(|| join(&old)).flatten();
    let mut name = None;
    for (next, value) in old {
        name = next.or(name);
        let Some(name) = &name else { continue };
        match &cookie {
            Some(cookie) if name == COOKIE => drop(headers.insert(COOKIE, cookie.clone())),
            _ => drop(headers.append(name.clone(), value)),
        }
    }
    *request.headers_mut() = headers;
    request
}

/// Tells whether a request has a body and nothing says how long it is.
fn has_unknown_length(request: &Request<Body>) -> bool {
    let body = request.body();
    !body.is_end_stream()
        && body.size_hint().exact().is_none()
        && !request.headers().contains_key(CONTENT_LENGTH)
}

/// Gives a request its HTTP/2 form: scheme and authority in the target, no `Host`.
pub(super) fn to_http2(mut request: Request<Body>, origin: &Origin) -> Request<Body> {
    *request.version_mut() = Version::HTTP_2;
    let path = request
        .uri()
        .path_and_query()
        .cloned()
        .unwrap_or(PathAndQuery::from_static("/"));
    let uri = Uri::builder()
        .scheme(origin.scheme.as_str())
        .authority(origin.authority())
        .path_and_query(path);
    if let Ok(uri) = uri.build() {
        *request.uri_mut() = uri;
    }
    if request.headers().contains_key(HOST) {
        // In one pass: `remove` would change the order of what is left.
        let old = std::mem::take(request.headers_mut());
        let mut headers = HeaderMap::with_capacity(old.len());
        let mut name = None;
        for (next, value) in old {
            name = next.or(name);
            if let Some(name) = name.as_ref().filter(|name| *name != HOST) {
                headers.append(name.clone(), value);
            }
        }
        *request.headers_mut() = headers;
    }
    request
}

/// Joins the crumbs of an HTTP/2 `Cookie` (RFC 9113 §8.2.3).
fn join(headers: &HeaderMap) -> Option<HeaderValue> {
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let mut cookie = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&str, &str)]) -> Request<Body> {
        let mut builder = Request::get("/a?b");
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::Empty).unwrap()
    }

    fn lines(request: &Request<Body>) -> Vec<String> {
        request
            .headers()
            .iter()
            .map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn crumbs_become_one_cookie_in_place() {
        let origin = "https://example.com".parse().unwrap();
        let adapted = to_http1(
            request(&[("a", "1"), ("cookie", "x=1"), ("b", "2"), ("cookie", "y=2")]),
            &origin,
        );
        assert_eq!(
            lines(&adapted),
            ["host: example.com", "a: 1", "cookie: x=1; y=2", "b: 2"]
        );
    }

    #[test]
    fn host_becomes_the_authority() {
        let origin = "https://example.com:8443".parse().unwrap();
        let adapted = to_http2(
            request(&[("host", "example.com:8443"), ("a", "1"), ("b", "2")]),
            &origin,
        );
        assert_eq!(adapted.uri(), "https://example.com:8443/a?b");
        assert_eq!(lines(&adapted), ["a: 1", "b: 2"]);
    }
}
