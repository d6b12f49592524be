//! A request in the form of HTTP/2 (RFC 9113 §8.3.1).

use http::{HeaderMap, Request, Uri, Version, header::HOST, request::Parts, uri::PathAndQuery};

use crate::origin::Origin;

/// Gives a request its HTTP/2 form: scheme and authority in the target, no `Host`. Its fields are taken.
pub(super) fn to_http2(head: &mut Parts, origin: &Origin) -> Request<()> {
    let mut request = Request::new(());
    *request.version_mut() = Version::HTTP_2;
    request.method_mut().clone_from(&head.method);
    *request.headers_mut() = std::mem::take(&mut head.headers);
    let path = head.uri.path_and_query().cloned();
    let path = path.unwrap_or(PathAndQuery::from_static("/"));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&str, &str)]) -> Parts {
        let mut builder = Request::get("/a?b");
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn lines(request: &Request<()>) -> Vec<String> {
        request
            .headers()
            .iter()
            .map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn host_becomes_the_authority() {
        let origin = "https://example.com:8443".parse().unwrap();
        let adapted = to_http2(
            &mut request(&[("host", "example.com:8443"), ("a", "1"), ("b", "2")]),
            &origin,
        );
        assert_eq!(adapted.uri(), "https://example.com:8443/a?b");
        assert_eq!(lines(&adapted), ["a: 1", "b: 2"]);
    }
}
