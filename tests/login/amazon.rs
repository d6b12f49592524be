//! Login with Amazon, by the built-in provider.

use std::collections::HashMap;

use http_body_util::BodyExt as _;
use serde_json::json;

use super::{Login, comes, consents};
use crate::support::{
    canary::canary,
    consent::Consent,
    origin::{Origin, origin},
    ports,
    proxy::proxy,
    routes,
};

/// The pages and the token endpoint of a region.
async fn amazon(consent: &Consent, pages: &str, tokens: &str) -> Origin {
    let consent = consent.clone();
    let site = origin(&[pages, tokens]).handler(move |request| {
        let consent = consent.clone();
        async move {
            let path = request.uri().path().to_owned();
            let query = request.uri().query().unwrap_or_default().to_owned();
            let read = |bytes: &[u8]| -> HashMap<String, String> {
                form_urlencoded::parse(bytes).into_owned().collect()
            };
            match &*path {
                "/ap/oa" => Ok(consent.with(|state| state.authorize(read(query.as_bytes())))),
                "/auth/o2/token" => {
                    let form = read(&request.into_body().collect().await.unwrap().to_bytes());
                    assert_eq!(form["client_secret"], "secret");
                    let refused = consent.redeem(&form).err();
                    let tokens = json!({
                        "access_token": format!("Atza|{}", canary("at")), "token_type": "bearer",
                        "refresh_token": format!("Atzr|{}", canary("rt")), "expires_in": 3600,
                    });
                    Ok(match refused {
                        None => routes::json(200, &tokens),
                        Some(error) => routes::json(400, &json!({ "error": error })),
                    })
                }
                _ => Err(request),
            }
        }
    });
    site.start().await
}

/// 5.1, 5.4.13: the three regions have pages and token endpoints of their own, and one way in.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_signs_in_in_each_region() {
    for (region, pages, tokens) in [
        ("na", "www.amazon.com", "api.amazon.com"),
        ("eu", "eu.account.amazon.com", "api.amazon.co.uk"),
        ("fe", "apac.account.amazon.com", "api.amazon.co.jp"),
    ] {
        let consent = Consent::default();
        let site = amazon(&consent, pages, tokens).await;
        let place = ports::free();
        let proxy = proxy()
            .site(&site)
            .config(format!(
                r#"
[session.app]
provider = "amazon-ads"
values = {{ client_id = "amzn1.application-oa2-client.x", region = "{region}" }}
secrets = {{ client_secret = "env:LWA_SECRET" }}
login = {{ redirect_uri = "http://localhost:{}/" }}
"#,
                place.port()
            ))
            .env("LWA_SECRET", "secret")
            .prepare();
        let mut signing_in = Login::of(&proxy, &["app"]);
        let address = signing_in.address();
        assert!(
            address.starts_with(&format!("https://{pages}/ap/oa?")),
            "{address}"
        );
        let back = consents(&site, &address).await;
        comes(&back).await.expect(200);
        signing_in.good();
        let asked = consent.with(|state| state.asked.remove(0));
        assert_eq!(asked["client_id"], "amzn1.application-oa2-client.x");
        assert_eq!(asked["scope"], "advertising::campaign_management");
        assert_eq!(proxy.status("app")["state"], "fresh");
    }
    // Without a word of one's own: the address that the provider says is to be registered.
    let shown = proxy().prepare().cli(&["provider", "show", "amazon-ads"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("redirect_uri = \"http://localhost:8765/\""),
        "{shown}"
    );
}
