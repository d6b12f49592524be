//! Redirects: the client follows, and the credential stays where it was.

use crate::support::{
    canary::{canary, find},
    origin::origin,
    proxy::proxy,
    tool::{Way, find as program, succeed, through},
};

/// Promise 1: 301–308 to another host, port, scheme, subdomain, or with user information: no canary elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn redirects_take_no_credential_along() {
    let secret = canary("redirect");
    let bound = origin(&["app.example.test"]).bearer(&secret).start().await;
    let other = origin(&[
        "other.example.test",
        "sub.app.example.test",
        "app.example.test",
    ])
    .start()
    .await;
    let plain = origin(&["app.example.test"]).start_plain().await;
    let proxy = proxy()
        .site(&bound)
        .site(&plain)
        .resolve("other.example.test:443", other.address)
        .resolve("sub.app.example.test:443", other.address)
        .resolve("app.example.test:8443", other.address)
        .bearer("app", "app.example.test", &secret)
        .start()
        .await;
    let targets = [
        "https://other.example.test/echo",
        "https://sub.app.example.test/echo",
        "https://app.example.test:8443/echo",
        "https://app.example.test@other.example.test/echo",
        "http://app.example.test/echo",
    ];
    for code in [301, 302, 303, 307, 308] {
        for target in targets {
            let before = other.seen().len() + plain.seen().len();
            let url = bound.url(&format!("/redirect/{code}?{target}"));
            // `--location-trusted` would send the tool's own credentials along; it has none.
            let arguments = ["-sS", "-k", "-L", "--location-trusted", "-o", "out", &url];
            succeed(through(
                &proxy,
                Way::Variables,
                &program("curl"),
                &arguments,
            ))
            .await;
            assert_eq!(
                other.seen().len() + plain.seen().len(),
                before + 1,
                "{code} {target}: not followed"
            );
        }
        // Back to the bound host it is there again.
        let url = bound.url(&format!("/redirect/{code}?{}", bound.url("/gate/in")));
        succeed(through(
            &proxy,
            Way::Variables,
            &program("curl"),
            &["-sSfL", &url],
        ))
        .await;
    }
    assert_eq!(find(&other.recorder.everything(), &secret), None);
    assert_eq!(find(&plain.recorder.everything(), &secret), None);
}
