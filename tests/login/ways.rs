//! Where there is no page to sign in at, it is said what to do instead.

use super::{HOST, Login, endpoint, holding, site};
use crate::support::{authority::session, proxy::proxy};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_without_codes_name_their_way() {
    let proxy = proxy()
        .config(
            r#"
[session.books]
provider = "oreilly"
[session.films]
provider = "mubi"
[session.heard]
provider = "audible"
[session.project]
provider = "supabase"
values = { host = "p.supabase.co", apikey = "k" }
"#,
        )
        .config(session("app", HOST, ""))
        .prepare();
    let none = |name: &str| format!("session {name} has no page to sign in at");
    for (arguments, words) in [
        (
            &["books"][..],
            [
                none("books"),
                "staysigned import books --from firefox".to_owned(),
            ],
        ),
        (
            &["films"],
            [
                none("films"),
                "sign in with firefox as always, then: staysigned refresh films".to_owned(),
            ],
        ),
        (
            &["heard"],
            [
                none("heard"),
                "staysigned import heard --from audible".to_owned(),
            ],
        ),
        (
            &["project"],
            [
                none("project"),
                "staysigned import project --from supabase".to_owned(),
            ],
        ),
        (
            &["app", "--device"],
            [none("app"), "staysigned import app --from KIND".to_owned()],
        ),
        (
            &["nothing"],
            [
                "there is no session nothing".to_owned(),
                "there are: ".to_owned(),
            ],
        ),
    ] {
        Login::of(&proxy, arguments).bad(2, &words.each_ref().map(String::as_str));
    }
}

/// What nobody could keep is not begun, nor what the configuration has no secret for.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_end_well_is_not_begun() {
    let (authority, origin, pair) = site().await;
    let memory = holding(&origin, &pair, &endpoint()).memory().prepare();
    Login::of(&memory, &["app"]).bad(
        1,
        &[
            "kept in the memory of a proxy alone",
            "hint: start it first",
        ],
    );
    let proxy = holding(&origin, &pair, &endpoint()).prepare();
    proxy.edit(|text| {
        text.replace("client_auth = \"none\"", "client_auth = \"basic\"")
            .replace(
                "access_token = \"env:ACCESS\"",
                "client_secret = \"env:MISSING\", access_token = \"env:ACCESS\"",
            )
    });
    Login::of(&proxy, &["app"]).bad(2, &["client_secret", "MISSING"]);
    Login::of(&proxy, &["app", "--device"]).bad(
        2,
        &["has no device_authorization_endpoint", "leave --device out"],
    );
    assert_eq!(authority.attempts().len(), 0);
}

/// A session whose end needs a person names the command.
#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_login_names_it() {
    let (authority, origin, pair) = site().await;
    let proxy = holding(&origin, &pair, &endpoint()).prepare();
    authority.fail_with([crate::support::authority::Fault::Error(
        400,
        "invalid_grant",
    )]);
    let output = proxy.cli(&["refresh", "app"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("hint: staysigned login app"), "{text}");
}
