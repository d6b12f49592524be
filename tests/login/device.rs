//! By a code that is typed in on any device.

use std::time::Duration;

use super::{HOST, Login, holding, nothing_secret, site};

fn endpoint() -> String {
    format!("device_authorization_endpoint = \"https://{HOST}/device\"\nscope = \"read\"")
}

/// 5.4.13: it waits as long as it is told between questions, five seconds longer after `slow_down`, and has its tokens
/// in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_signs_in() {
    let (authority, origin, pair) = site().await;
    authority.consent().with(|state| {
        state.device = (600, Some(1));
        state.told = ["authorization_pending", "slow_down"].into();
    });
    let mut proxy = holding(&origin, &pair, &endpoint()).prepare();
    proxy.start().await;
    let mut signing_in = Login::of(&proxy, &["app"]);
    assert_eq!(signing_in.address(), format!("https://{HOST}/device"));
    assert_eq!(
        signing_in.address(),
        format!("https://{HOST}/device?user_code=WDJB-MJHT")
    );
    let said = signing_in.good();
    assert!(said.contains("type in the code WDJB-MJHT"), "{said}");
    nothing_secret(&authority, &said);
    let (sent, polls) = authority
        .consent()
        .with(|state| (state.devices.remove(0), state.polls.clone()));
    assert_eq!((&*sent["client_id"], &*sent["scope"]), ("tests", "read"));
    let gaps: Vec<Duration> = polls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let [usual, slower] = gaps[..] else {
        panic!("{gaps:?}")
    };
    // When they arrive has the way in it; the second gap is six seconds and cannot be taken for one.
    assert!(usual >= Duration::from_millis(900), "{gaps:?}");
    assert!(slower >= Duration::from_millis(5900), "{gaps:?}");
    let answer = proxy.client().get(&format!("https://{HOST}/echo/x")).await;
    assert_eq!(answer.status, 200);
    nothing_secret(&authority, &proxy.log());
}

/// 5.4.13: over at the server, over by its own time, denied, unknown: said, and nothing is changed.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_changes_nothing() {
    let pending = "authorization_pending";
    for (expires_in, told, words) in [
        (
            600,
            &[pending, "expired_token"][..],
            ["the code is over: expired_token", "sign in again"],
        ),
        (
            2,
            &[pending; 9],
            ["the code is over: expired_token", "sign in again"],
        ),
        (
            600,
            &["access_denied"],
            ["the consent was denied: access_denied", "sign in again"],
        ),
        (
            600,
            &["invalid_grant"],
            ["does not take the code: invalid_grant", "sign in again"],
        ),
        (
            600,
            &["invalid_client"],
            [
                "refuses the client: invalid_client",
                "correct values.client_id",
            ],
        ),
    ] {
        let (authority, origin, pair) = site().await;
        authority.consent().with(|state| {
            state.device = (expires_in, Some(1));
            state.told = told.iter().copied().collect();
        });
        let proxy = holding(&origin, &pair, &endpoint()).prepare();
        let begun = proxy.cli(&["refresh", "app"]);
        assert!(begun.status.success(), "{begun:?}");
        let before = proxy.status("app")["generation"].clone();
        let said = Login::of(&proxy, &["app", "--device"]).bad(1, &words);
        nothing_secret(&authority, &said);
        assert_eq!(proxy.status("app")["generation"], before, "{words:?}");
    }
}
