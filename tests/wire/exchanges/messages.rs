//! Messages as clients and servers write them. `{H}` is the host, `{L}` a long value, `{F}` twenty fields.

/// Requests of known clients, and odd ones that are legal.
#[rustfmt::skip]
pub const REQUESTS: &[(&str, &str)] = &[
    ("curl", "GET / HTTP/1.1\r\nHost: {H}\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"),
    ("curl, upload", "POST /u HTTP/1.1\r\nHost: {H}\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nContent-Length: 5\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\na=b&c"),
    ("requests", "GET /q?a=1&b=%20 HTTP/1.1\r\nHost: {H}\r\nUser-Agent: python-requests/2.32.5\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nCookie: a=1; b=2\r\n\r\n"),
    ("urllib", "GET /x HTTP/1.1\r\nAccept-Encoding: identity\r\nHost: {H}\r\nUser-Agent: Python-urllib/3.11\r\nConnection: close\r\n\r\n"),
    ("Go", "GET /go HTTP/1.1\r\nHost: {H}\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n"),
    ("Go, chunks", "POST /go HTTP/1.1\r\nHost: {H}\r\nUser-Agent: Go-http-client/1.1\r\nTransfer-Encoding: chunked\r\nAccept-Encoding: gzip\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"),
    ("Node", "GET /node HTTP/1.1\r\nhost: {H}\r\nconnection: keep-alive\r\naccept: */*\r\naccept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\naccept-encoding: gzip, deflate\r\n\r\n"),
    ("axios", "POST /api HTTP/1.1\r\nAccept: application/json, text/plain, */*\r\nContent-Type: application/json\r\nUser-Agent: axios/1.7.2\r\nContent-Length: 13\r\nAccept-Encoding: gzip, compress, deflate, br\r\nHost: {H}\r\nConnection: close\r\n\r\n{\"a\": [1, 2]}"),
    ("wget", "GET /w HTTP/1.1\r\nHost: {H}\r\nUser-Agent: Wget/1.21.3\r\nAccept: */*\r\nAccept-Encoding: identity\r\nConnection: Keep-Alive\r\n\r\n"),
    ("aria2", "GET /a HTTP/1.1\r\nUser-Agent: aria2/1.36.0\r\nAccept: */*,application/metalink4+xml,application/metalink+xml\r\nHost: {H}\r\nRange: bytes=100-\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nWant-Digest: SHA-512;q=1, SHA-256;q=1, SHA;q=0.1\r\n\r\n"),
    ("Chrome", "GET /c HTTP/1.1\r\nHost: {H}\r\nConnection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: a=1; b=\"x y\"; c=\r\nIf-None-Match: W/\"abc\"\r\nIf-Modified-Since: Sat, 01 Aug 2026 00:00:00 GMT\r\n\r\n"),
    ("git", "POST /r.git/git-upload-pack HTTP/1.1\r\nHost: {H}\r\nUser-Agent: git/2.39.5\r\nAccept-Encoding: deflate, gzip, br\r\nContent-Type: application/x-git-upload-pack-request\r\nAccept: application/x-git-upload-pack-result\r\nGit-Protocol: version=2\r\nContent-Length: 8\r\n\r\n0014done"),
    ("HEAD", "HEAD /h HTTP/1.1\r\nHost: {H}\r\nAccept: */*\r\n\r\n"),
    ("OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: {H}\r\n\r\n"),
    ("CORS", "OPTIONS /o HTTP/1.1\r\nHost: {H}\r\nOrigin: https://a.example\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a,x-b\r\n\r\n"),
    ("PUT of nothing", "PUT /p HTTP/1.1\r\nHost: {H}\r\nContent-Length: 0\r\n\r\n"),
    ("POST of nothing", "POST /p HTTP/1.1\r\nHost: {H}\r\nContent-Length: 0\r\nContent-Type: text/plain\r\n\r\n"),
    ("DELETE", "DELETE /d/1 HTTP/1.1\r\nHost: {H}\r\nAccept: application/json\r\n\r\n"),
    ("DELETE with a body", "DELETE /d HTTP/1.1\r\nHost: {H}\r\nContent-Length: 2\r\n\r\n{}"),
    ("PATCH", "PATCH /d/1 HTTP/1.1\r\nHost: {H}\r\nContent-Type: application/merge-patch+json\r\nContent-Length: 2\r\n\r\n{}"),
    ("GET with a body", "GET /_search HTTP/1.1\r\nHost: {H}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"),
    ("WebDAV", "PROPFIND /dav/ HTTP/1.1\r\nHost: {H}\r\nDepth: 1\r\nContent-Length: 4\r\n\r\n<a/>"),
    ("a method of its own", "M-SEARCH /m HTTP/1.1\r\nHost: {H}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\r\n"),
    ("a method in small letters", "purge /m HTTP/1.1\r\nHost: {H}\r\n\r\n"),
    ("mixed letters", "GET /m HTTP/1.1\r\nhOsT: {H}\r\nX-CuStOm-FIELD: a\r\nETAG: b\r\nx_under: c\r\nX.Dot: d\r\n!#$%&'*+-.^`|~: e\r\n\r\n"),
    ("a field twice", "GET /m HTTP/1.1\r\nHost: {H}\r\nX-A: 1\r\nX-A: 2\r\nAccept: a/b\r\nAccept: c/d\r\n\r\n"),
    ("a field twice, in other letters", "GET /m HTTP/1.1\r\nHost: {H}\r\nX-A: 1\r\nx-a: 2\r\n\r\n"),
    ("odd values", "GET /m HTTP/1.1\r\nHost: {H}\r\nX-Empty:\r\nX-Tab: a\tb\r\nX-Quoted: \"a, b\"; c=\"\\\"\"\r\nX-Latin: caf\u{e9}\r\nX-Spaces: a   b\r\nX-Long: {L}\r\n\r\n"),
    ("twenty fields", "GET /f HTTP/1.1\r\nHost: {H}\r\n{F}\r\n"),
    ("odd targets", "GET //a/../b/./%7e?x=\"<>&y={|}^` HTTP/1.1\r\nHost: {H}\r\n\r\n"),
    ("Expect", "POST /e HTTP/1.1\r\nHost: {H}\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc"),
    ("trailers", "POST /t HTTP/1.1\r\nHost: {H}\r\nTE: trailers\r\nTrailer: X-Sum, X-More\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: a b\r\n\r\n"),
    ("no space before values", "GET /m HTTP/1.1\r\nHost:{H}\r\nX-A:1\r\n\r\n"),
];

/// Answers of known servers, and odd ones that are legal.
#[rustfmt::skip]
pub const ANSWERS: &[(&str, &str)] = &[
    ("nginx", "HTTP/1.1 200 OK\r\nServer: nginx/1.25.3\r\nDate: Sat, 01 Aug 2026 00:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 5\r\nLast-Modified: Sat, 01 Aug 2026 00:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"64c8-5\"\r\nAccept-Ranges: bytes\r\n\r\nhello"),
    ("nginx, chunks", "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 01 Aug 2026 00:00:00 GMT\r\nContent-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\nVary: Accept-Encoding\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"),
    ("Apache", "HTTP/1.1 200 OK\r\nDate: Sat, 01 Aug 2026 00:00:00 GMT\r\nServer: Apache/2.4.57 (Debian)\r\nLast-Modified: Sat, 01 Aug 2026 00:00:00 GMT\r\nETag: \"5-600\"\r\nAccept-Ranges: bytes\r\nContent-Length: 5\r\nKeep-Alive: timeout=5, max=100\r\nConnection: Keep-Alive\r\nContent-Type: text/plain\r\n\r\nhello"),
    ("Node", "HTTP/1.1 200 OK\r\nX-Powered-By: Express\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\nETag: W/\"2-vy\"\r\nDate: Sat, 01 Aug 2026 00:00:00 GMT\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n{}"),
    ("small letters", "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\ndate: Sat, 01 Aug 2026 00:00:00 GMT\r\nserver: uvicorn\r\n\r\nhello"),
    ("IIS", "HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Type: text/html; charset=utf-8\r\nServer: Microsoft-IIS/10.0\r\nX-AspNet-Version: 4.0.30319\r\nX-Powered-By: ASP.NET\r\nDate: Sat, 01 Aug 2026 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"),
    ("no Date, no Server", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("until the end", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nhello"),
    ("cookies", "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/; Secure\r\nSet-Cookie: b=2; HttpOnly; SameSite=Lax\r\nset-cookie: c=\"x, y\"; Expires=Sat, 01 Aug 2026 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"),
    ("a reason of its own", "HTTP/1.1 200 Alles klar\r\nContent-Length: 0\r\n\r\n"),
    ("no reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
    ("a long reason", "HTTP/1.1 404 There is nothing here, and never was\r\nContent-Length: 4\r\nContent-Type: text/html\r\n\r\ngone"),
    ("created", "HTTP/1.1 201 Created\r\nLocation: /d/1\r\nContent-Length: 0\r\n\r\n"),
    ("accepted", "HTTP/1.1 202 Accepted\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"),
    ("no content", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
    ("a part", "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/10\r\nContent-Length: 5\r\nContent-Type: application/octet-stream\r\n\r\nhello"),
    ("multi-status", "HTTP/1.1 207 Multi-Status\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>"),
    ("moved", "HTTP/1.1 301 Moved Permanently\r\nLocation: https://other.example/a b?c=\"d\"\r\nContent-Length: 0\r\n\r\n"),
    ("found", "HTTP/1.1 302 Found\r\nLocation: relative\r\nSet-Cookie: s=1\r\nContent-Length: 0\r\n\r\n"),
    ("not modified", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nCache-Control: max-age=60\r\nDate: Sat, 01 Aug 2026 00:00:00 GMT\r\n\r\n"),
    ("bad request", "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}"),
    ("forbidden", "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno"),
    ("proxy authentication of the origin's", "HTTP/1.1 429 Too Many Requests\r\nRetry-After: Sat, 01 Aug 2026 00:00:00 GMT\r\nX-RateLimit-Remaining: 0\r\nContent-Length: 0\r\n\r\n"),
    ("teapot", "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n"),
    ("server error", "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops"),
    ("unavailable", "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 120\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
    ("a status nobody knows", "HTTP/1.1 599 Network Connect Timeout\r\nContent-Length: 0\r\n\r\n"),
    ("gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\n\u{1f}\u{8b}\u{8}\0\0\0\0\0"),
    ("odd values", "HTTP/1.1 200 OK\r\nX-Empty: \r\nX-Latin: caf\u{e9}\r\nX-Tab: a\tb\r\nX-Spaces: a   b\r\nX-Long: {L}\r\nP3P: CP=\"a b\"\r\nContent-Length: 0\r\n\r\n"),
    ("mixed letters", "HTTP/1.1 200 OK\r\nX-CUSTOM: 1\r\nx_under: 2\r\neTaG: \"x\"\r\nCONTENT-LENGTH: 0\r\n\r\n"),
    ("security fields", "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=63072000; includeSubDomains; preload\r\nContent-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nAlt-Svc: h3=\":443\"; ma=86400\r\nNEL: {\"report_to\":\"a\"}\r\nServer-Timing: db;dur=53, app;dur=47.2\r\nContent-Length: 0\r\n\r\n"),
    ("links", "HTTP/1.1 200 OK\r\nLink: </a>; rel=preload\r\nLink: <https://a.example/?page=2>; rel=\"next\", <https://a.example/?page=9>; rel=\"last\"\r\nVia: 1.1 varnish\r\nAge: 12\r\nContent-Length: 0\r\n\r\n"),
    ("twenty fields", "HTTP/1.1 200 OK\r\n{F}Content-Length: 0\r\n\r\n"),
    ("grpc-web", "HTTP/1.1 200 OK\r\ncontent-type: application/grpc-web+proto\r\ngrpc-status: 0\r\ngrpc-message: \r\ncontent-length: 0\r\n\r\n"),
    ("not modified, with a length", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 1000\r\n\r\n"),
    ("trailers for a client that has not asked for them (TE)", "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
    ("no space before values", "HTTP/1.1 200 OK\r\nX-A:1\r\nContent-Length:0\r\n\r\n"),
];

/// Requests that are not the same to the byte behind the proxy: what is not kept, and nobody reads.
/// First what changes.
#[rustfmt::skip]
pub const CHANGED_REQUESTS: &[(&str, &str)] = &[
    ("fields of one name stand together", "GET /m HTTP/1.1\r\nHost: {H}\r\nX-A: 1\r\nX-B: 2\r\nX-A: 3\r\n\r\n"),
];

/// The same of answers.
#[rustfmt::skip]
pub const CHANGED_ANSWERS: &[(&str, &str)] = &[
    ("fields of one name stand together", "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Type: text/plain\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"),
    ("the reason is left out", "HTTP/1.1 200 tr\u{e8}s bien\r\nContent-Length: 0\r\n\r\n"),
];
