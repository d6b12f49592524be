//! What tests of the engine stand on: a store in memory, a simulated clock, an authority, and some recipes.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Session, Sessions,
    double::{Authority, Double},
    refresh::Refresh,
};
use crate::{
    env::Env,
    limits::Limits,
    rule::{
        ClientAuth, Encoding, GrantType, Inject, Mode, Oauth2, Place, Recipe, RefreshKind, Url,
        sample, template::Template,
    },
    store::Store,
};

/// What a test stands on; a clone is another process on the same store.
#[derive(Clone, Debug)]
pub(super) struct Bench {
    pub(super) env: Env,
    pub(super) store: Store,
    pub(super) authority: Arc<Authority>,
    pub(super) limits: Limits,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::of(Authority::new())
    }

    pub(super) fn of(authority: Authority) -> Self {
        Self {
            env: Env::simulated(
                SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
                7,
            ),
            store: Store::memory(),
            authority: Arc::new(authority),
            limits: Limits::default(),
        }
    }

    /// Another process on the same store.
    pub(super) fn peer(&self) -> Self {
        let Store::Memory(store) = &self.store else {
            unreachable!("tests are in memory")
        };
        Self {
            store: Store::Memory(store.peer()),
            ..self.clone()
        }
    }

    pub(super) async fn open(&self, recipe: Recipe) -> (Arc<Sessions>, Arc<Session>) {
        self.open_after(recipe, None).await
    }

    /// As a reload does.
    pub(super) async fn open_after(
        &self,
        recipe: Recipe,
        before: Option<Arc<Sessions>>,
    ) -> (Arc<Sessions>, Arc<Session>) {
        let (authority, env) = (Arc::clone(&self.authority), self.env.clone());
        let make = move |_: &Arc<Recipe>, _: &crate::store::SessionId| -> Arc<dyn Refresh> {
            Arc::new(Double::new(Arc::clone(&authority), env.clone()))
        };
        let recipes = [Arc::new(recipe)];
        let shared = Sessions::shared(self.env.clone(), self.limits.clone(), before.as_deref());
        let make = Box::new(make);
        let sessions = Sessions::open_with(&recipes, self.store.clone(), shared, before, make);
        let sessions = sessions.await.unwrap();
        let session = sessions.session(0, None);
        (sessions, session)
    }
}

/// A session of bearer tokens, seeded with the first refresh token.
pub(super) fn bearer() -> Recipe {
    let mut recipe = sample::recipe("app", &[], &["https://api.example"]);
    recipe.inject = vec![Inject {
        place: Place::Header(http::header::AUTHORIZATION),
        value: Template::parse("Bearer {{ access_token }}").unwrap(),
        mode: Mode::Replace,
    }];
    recipe.refresh.kind = RefreshKind::Oauth2(Oauth2 {
        token_url: Url {
            origin: "https://auth.example".parse().unwrap(),
            path: "/token".to_owned(),
        },
        grant_type: GrantType::RefreshToken,
        client_auth: ClientAuth::None,
        encoding: Encoding::Form,
        params: Vec::new(),
        headers: Vec::new(),
        answer: ["access_token", "refresh_token", "expires_in"]
            .map(|name| (name.to_owned(), vec![format!("/{name}").parse().unwrap()]))
            .to_vec(),
    });
    recipe.secrets = [("refresh_token".to_owned(), "rt-0".into())].into();
    recipe.seeds = ["refresh_token".to_owned()].into();
    recipe
}

/// A session of cookies that nothing renews.
pub(super) fn cookies(required: &[&str]) -> Recipe {
    let mut recipe = sample::recipe("site", &[], &["https://site.example"]);
    recipe.cookies.enabled = true;
    recipe.cookies.required = required.iter().map(|name| (*name).to_owned()).collect();
    recipe
}

impl Session {
    /// Ends all that this process is doing, as a crash would.
    pub(super) fn crash(&self) {
        self.shared.fuse.burn();
    }
}
