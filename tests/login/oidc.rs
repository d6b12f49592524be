//! A certified server: its own pages, its own checks of PKCE, codes and device codes.

use std::collections::BTreeMap;

use http::Request;

use super::{Login, comes};
use crate::support::{
    client::Client,
    oidc::{HOST, Server},
    origin::empty,
    proxy::{Builder, Proxy, proxy},
};

/// A public client of it that holds nothing.
fn session(server: &Server) -> Builder {
    proxy()
        .resolve(&format!("{HOST}:443"), server.address)
        .config(format!(
            r#"
[session.app]
bind = [{{ host = "{HOST}", path = "/resource/*" }}]
values = {{ client_id = "desktop" }}
[[session.app.inject]]
header = "authorization"
value = "Bearer {{{{ access_token }}}}"
[session.app.refresh]
token_url = "https://{HOST}/token"
client_auth = "none"
[session.app.login]
authorization_endpoint = "https://{HOST}/auth"
device_authorization_endpoint = "https://{HOST}/device/auth"
scope = "openid offline_access"
issuer = "https://{HOST}"
"#
        ))
}

/// A browser that keeps cookies and follows redirects, until it is sent to this machine.
async fn browse(client: &Client, start: &str) -> String {
    let mut cookies: BTreeMap<String, String> = BTreeMap::new();
    let mut address = start.to_owned();
    for _ in 0..10 {
        let mut request = Request::get(&address).body(empty()).unwrap();
        let jar: Vec<String> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !jar.is_empty() {
            request
                .headers_mut()
                .insert("cookie", jar.join("; ").parse().unwrap());
        }
        let answer = client.send(request).await;
        for line in answer.headers.get_all("set-cookie") {
            let pair = line.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        let to = answer
            .field("location")
            .unwrap_or_else(|| panic!("{address}: {}", answer.text()));
        address = match to.starts_with('/') {
            true => format!("https://{HOST}{to}"),
            false => to.to_owned(),
        };
        if address.starts_with("http://127.0.0.1") {
            return address;
        }
    }
    panic!("redirected for ever: {address}");
}

async fn is_in(proxy: &Proxy) {
    let resource = format!("https://{HOST}/resource/x");
    let answer = proxy.client().get(&resource).await;
    assert_eq!(answer.expect(200).text(), "in");
}

/// 5.4.13: a code with PKCE of a certified server, and what came of it lives on: it is renewed, and rotates.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_to_a_certified_server() {
    let server = Server::start(60.0).await;
    let mut proxy = session(&server).prepare();
    let mut signing_in = Login::of(&proxy, &["app"]);
    let browser = Client::to(server.address);
    let back = browse(&browser, &signing_in.address()).await;
    let page = comes(&back).await;
    let said = signing_in.good();
    assert_eq!(page.status, 200, "{said}");
    for _ in 0..2 {
        let renewed = proxy.cli(&["refresh", "app"]);
        assert!(renewed.status.success(), "{renewed:?}");
    }
    proxy.start().await;
    is_in(&proxy).await;
    let stats = server.stats().await;
    assert_eq!(
        (&stats["errors"], &stats["repeated"]),
        (&serde_json::json!([]), &0.into())
    );

    // The same answer again: nobody waits for it, and the code is spent.
    let mut signing_in = Login::of(&proxy, &["app"]);
    let other = browse(&browser, &signing_in.address()).await;
    let code = |address: &str| {
        let query = address.split_once('?').unwrap().1;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(name, _)| name == "code")
            .unwrap()
            .1
            .into_owned()
    };
    let reused = other.replace(&code(&other), &code(&back));
    comes(&reused).await.expect(400);
    signing_in.bad(1, &["does not take the code: invalid_grant"]);
    let status = proxy.status("app");
    assert_eq!(
        (&status["state"], &status["requires_login"]),
        (&"fresh".into(), &false.into())
    );
}

/// 5.4.13: its device codes.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_signs_in_to_a_certified_server() {
    let server = Server::start(60.0).await;
    let mut proxy = session(&server).prepare();
    let mut signing_in = Login::of(&proxy, &["app", "--device"]);
    signing_in.address();
    let said = signing_in.said.clone();
    let code = said.split_once("type in the code ").unwrap().1;
    let code = code.split(':').next().unwrap().to_owned();
    let control = Client::to(server.address);
    control
        .post(&format!("https://{HOST}/control/device"), code)
        .await
        .expect(200);
    signing_in.good();
    proxy.start().await;
    is_in(&proxy).await;
    let renewed = proxy.cli(&["refresh", "app"]);
    assert!(renewed.status.success(), "{renewed:?}");
}
