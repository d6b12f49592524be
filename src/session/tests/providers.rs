//! The built-in providers' own times, under a simulated clock.

use super::*;
use crate::{
    config::{Found, Place, Variables, load},
    rule::Recipe,
};

/// A recipe as a configuration with this session has it.
fn recipe(session: &str) -> Recipe {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, session).unwrap();
    let place = Place {
        path,
        found: Found::Option,
        notes: Vec::new(),
    };
    let config = load(&place, &Variables::default()).unwrap().config;
    Recipe::clone(&config.recipes[0])
}

/// 5.4.3: fifteen minutes before its end, and not a moment earlier; nobody's token is renewed for nothing, and whoever
/// comes back finds a good one.
#[tokio::test(start_paused = true)]
async fn amazon_tokens_are_renewed_fifteen_minutes_ahead() {
    let bench = Bench::new();
    let mut recipe = recipe(
        "[session.ads]\nprovider = \"amazon-ads\"\nvalues = { client_id = \"x\" }\n\
         secrets = { client_secret = \"env:A\", refresh_token = \"env:B\" }\n",
    );
    recipe.secrets = [
        ("refresh_token".to_owned(), "rt-0".into()),
        ("client_secret".to_owned(), "s".into()),
    ]
    .into();
    let (_sessions, session) = bench.open(recipe).await;
    session.current().await.unwrap();
    pass(3600.0 - 901.0).await;
    assert_eq!(bench.authority.calls(), 1, "15:01 before its end");
    pass(2.0).await;
    assert_eq!(bench.authority.calls(), 2, "14:59 before its end");
    // Whatever the moment of a request, a good token is there, and it has minutes left.
    for _ in 0..200 {
        pass(77.0).await;
        let current = session.ready().expect("never without");
        assert!(
            bench
                .authority
                .accepts(injected(&current).trim_start_matches("Bearer "))
        );
    }
    let busy = bench.authority.calls();
    pass(7.0 * 86_400.0).await;
    let idle = bench.authority.calls() - busy;
    assert!((30..=34).contains(&idle), "a day of them: {idle}");
    session.current().await.unwrap();
}
