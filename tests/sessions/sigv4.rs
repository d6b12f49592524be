//! `sign.scheme = "sigv4"`: what is on the wire is what botocore would have signed.

use http::Request;
use serde_json::json;

use crate::support::{
    origin::{full, origin},
    proxy::proxy,
    tool,
};

const HOST: &str = "s3.eu-central-1.amazonaws.com";
const KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn session(service: &str) -> String {
    format!(
        "[session.cloud]\nbind = [{{ host = \"{HOST}\" }}]\n\
         [session.cloud.sign]\nscheme = \"sigv4\"\nregion = \"eu-central-1\"\nservice = \"{service}\"\n\
         access_key_id = \"{{{{ access_key_id }}}}\"\nsecret_access_key = \"{{{{ secret_access_key }}}}\"\n\
         session_token = \"{{{{ session_token }}}}\"\n\
         [session.cloud.refresh]\nkind = \"command\"\ncommand = [\"cat\", \"credentials.json\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_signed_as_botocore_does() {
    let credentials = json!({ "Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": KEY,
        "SessionToken": "FwoGZXIvYXdzEXAMPLE==", "Expiration": "2099-01-01T00:00:00Z" });
    for service in ["s3", "execute-api"] {
        let site = origin(&[HOST]).start().await;
        let proxy = proxy()
            .site(&site)
            .config(session(service))
            .file("credentials.json", &credentials.to_string())
            .start()
            .await;
        for (method, target, body, h2) in [
            ("GET", "/echo/a%20b/c?list-type=2&prefix=a%2Fb", "", false),
            ("PUT", "/echo/k%C3%A4/~x", "content of it", false),
            ("POST", "/echo?b=1&a=2", "{\"a\":\"\u{e4}\"}", true),
            ("DELETE", "/echo//x/../y", "", true),
        ] {
            let client = match h2 {
                true => proxy.client().h2(),
                false => proxy.client(),
            };
            let request = Request::builder()
                .method(method)
                .uri(format!("https://{HOST}{target}"))
                .header("content-type", "text/plain")
                .header("x-amz-meta-of", "a  client")
                .header("x-amz-date", "20000101T000000Z")
                .header("authorization", "AWS4-HMAC-SHA256 Credential=none")
                .body(full(body.to_owned()))
                .unwrap();
            client.send(request).await.expect(200);
            let seen = site.last();
            let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
            let fields = seen
                .fields
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)));
            let fields: Vec<(String, String)> = fields.collect();
            let one = |name: &str| {
                let mut all = fields.iter().filter(|(field, _)| field == name);
                let found = all.next().unwrap_or_else(|| panic!("no {name}"));
                assert!(all.next().is_none(), "two of {name}");
                found.1.clone()
            };
            let is_signed = |name: &str| name == "content-type" || name.starts_with("x-amz-meta");
            let headers: Vec<_> = fields.iter().filter(|(name, _)| is_signed(name)).collect();
            let asked = json!({ "method": method, "target": target, "host": HOST, "headers": headers, "body": body,
                "now": seconds(&one("x-amz-date")), "region": "eu-central-1", "service": service, "key_id": "AKIDEXAMPLE", "secret": KEY,
                "token": one("x-amz-security-token") });
            let mut check = std::process::Command::new(tool::python());
            check.arg(tool::script("python/sigv4.py")).arg("check");
            let output = tool::feed(
                check,
                &asked.to_string(),
                std::time::Duration::from_secs(60),
            );
            assert!(output.status.success(), "{output:?}");
            let expected = String::from_utf8(output.stdout).unwrap();
            assert_eq!(
                one("authorization"),
                expected.trim(),
                "{service} {method} {target}"
            );
        }
    }
}

/// Seconds since 1970 of `20260102T030405Z`.
fn seconds(text: &str) -> i64 {
    let part = |from: usize, to: usize| &text[from..to];
    let (day, clock) = (
        [part(0, 4), part(4, 6), part(6, 8)].join("-"),
        [part(9, 11), part(11, 13), part(13, 15)].join(":"),
    );
    let text = format!("{day}T{clock}Z");
    let format = time::format_description::well_known::Rfc3339;
    let parsed = time::OffsetDateTime::parse(&text, &format);
    parsed.expect("a date").unix_timestamp()
}
