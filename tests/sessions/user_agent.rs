//! `user_agent`: one for all tools of a session, set or learnt with the cookies.

use crate::support::{
    origin::origin,
    proxy::{Proxy, proxy},
};

const HOST: &str = "site.example.test";
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

fn session(user_agent: &str) -> String {
    format!(
        "[session.site]\nbind = [{{ host = \"{HOST}\" }}]\n{user_agent}\n\
         [session.site.cookies]\nrequired = [\"sid\"]\n\
         [session.site.refresh]\nkind = \"none\"\n"
    )
}

fn import(proxy: &Proxy, kind: &str, text: &str) -> String {
    let domain: &[&str] = if kind == "header" {
        &["--domain", HOST]
    } else {
        &[]
    };
    let arguments = [&["import", "site", "--from", kind], domain].concat();
    let output = proxy.cli_with(&arguments, text);
    assert!(output.status.success(), "{kind}: {output:?}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What the site sees of a tool with a `User-Agent` and of one without.
async fn seen(user_agent: &str, kind: &str, text: &str) -> [Option<String>; 2] {
    let site = origin(&[HOST]).start().await;
    let proxy = proxy()
        .site(&site)
        .config(session(user_agent))
        .start()
        .await;
    import(&proxy, kind, text);
    let url = site.url("/");
    let mut both = [None, None];
    for (seen, fields) in both.iter_mut().zip([&[("user-agent", "tool/1")][..], &[]]) {
        let mut request = http::Request::get(&url);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(crate::support::origin::empty()).unwrap();
        proxy.client().send(request).await.expect(200);
        *seen = site.last().field("user-agent").map(str::to_owned);
    }
    both
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tools_have_the_one_of_the_import() {
    let curl = format!("curl 'https://{HOST}/' -b 'sid=one' -H 'User-Agent: {BROWSER}'");
    let curl_a = format!("curl 'https://{HOST}/' -b 'sid=one' -A '{BROWSER}'");
    let head = format!("GET / HTTP/1.1\nUser-Agent: {BROWSER}\nCookie: sid=one\n");
    let field = |name: &str, value: &str| serde_json::json!({ "name": name, "value": value });
    let har = serde_json::json!({ "log": { "version": "1.2", "entries": [{
        "startedDateTime": "2026-11-20T10:00:00Z",
        "request": { "method": "GET", "url": format!("https://{HOST}/"),
            "headers": [field("Cookie", "sid=one"), field("User-Agent", BROWSER)] },
        "response": { "status": 200, "headers": [] },
    }] } })
    .to_string();
    let learnt = Some(BROWSER.to_owned());
    for (kind, text) in [
        ("curl", curl),
        ("curl", curl_a),
        ("header", head),
        ("har", har),
    ] {
        let both = seen("user_agent = \"learnt\"", kind, &text).await;
        assert_eq!(both, [learnt.clone(), learnt.clone()], "{kind}");
        // Without the key nothing is changed and nothing added.
        let both = seen("", kind, &text).await;
        assert_eq!(both, [Some("tool/1".to_owned()), None], "{kind}");
        let both = seen("user_agent = \"set/1\"", kind, &text).await;
        assert_eq!(both, [Some("set/1".to_owned()), Some("set/1".to_owned())]);
    }
    // Nothing was learnt: the tool's own.
    let both = seen(
        "user_agent = \"learnt\"",
        "curl",
        &format!("curl https://{HOST}/ -b sid=1"),
    )
    .await;
    assert_eq!(both, [Some("tool/1".to_owned()), None]);
}

/// It stays through restarts and imports that do not say it, and imports say what they took.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_learnt_stays() {
    let site = origin(&[HOST]).start().await;
    let mut proxy = proxy()
        .site(&site)
        .config(session("user_agent = \"learnt\""))
        .prepare();
    let said = import(
        &proxy,
        "curl",
        &format!("curl https://{HOST}/ -b sid=1 -A '{BROWSER}'"),
    );
    assert!(said.contains("the User-Agent taken"), "{said}");
    let said = import(&proxy, "header", "Cookie: sid=2");
    assert!(said.contains("tools keep their own"), "{said}");
    for _ in 0..2 {
        proxy.start().await;
        proxy.client().get(&site.url("/")).await.expect(200);
        let last = site.last();
        assert_eq!(last.field("user-agent"), Some(BROWSER));
        assert_eq!(last.field("cookie"), Some("sid=2"));
        proxy.kill();
    }
}
