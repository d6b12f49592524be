//! The five systems on their hosts, and one proxy with one configuration for all of them.

use std::sync::{Arc, Mutex};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::header;
use serde_json::{Value, json};
use tokio::sync::Mutex as Lock;

use super::super::{
    library::Library,
    lwa::Amazon,
    marketplace::{AUTH, Marketplace},
    profiles::Firefox,
};
use crate::support::{
    canary::canary,
    client::Client,
    gotrue::Tokens,
    origin::{Builder, Origin, Recorder, empty, origin},
    ports,
    project::{APIKEY, PROJECT, Project, bound},
    proxy::{self, Proxy},
    raw::{After, Raw, says},
    routes,
};

/// Whose session it is: the two users of Amazon's have one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tenant {
    Books,
    Audio,
    App,
    Films,
    Alice,
    Bob,
}

impl Tenant {
    pub const ALL: [Self; 6] = [
        Self::Books,
        Self::Audio,
        Self::App,
        Self::Films,
        Self::Alice,
        Self::Bob,
    ];
}

/// Hosts that end and come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Library,
    Audible,
    /// The token endpoints of Audible and of Login with Amazon, which share a host.
    Tokens,
    Project,
    App,
    Films,
    Ads,
}

pub const THIRD: &str = "third.example.test";
pub const OTHER: &str = "other.example.test";

/// Where Audible's tools find what belongs to a book.
pub const SIDECARS: &str = "cde-ta-g7g.amazon.com";

const COOKIE: &str = "_mubi_session";

pub struct World {
    pub library: Library,
    pub market: Marketplace,
    pub project: Project,
    pub amazon: Amazon,
    pub films: Films,
    pub places: Vec<(Place, Lock<Origin>)>,
    pub recorders: Vec<(Place, Arc<Recorder>)>,
    pub proxy: Lock<Proxy>,
    /// A host that no session is bound to, and one that another session is bound to.
    pub third: Raw,
    pub other: Origin,
    /// Through the proxy, as alice and as bob.
    pub alice: Client,
    pub bob: Client,
    /// The file that Audible's tools have.
    pub standin: Value,
}

/// An API that takes the bearers of this list, and the browser that is signed in there.
pub struct Films {
    pub accepted: Arc<Mutex<Vec<String>>>,
    pub issued: Mutex<Vec<String>>,
    browser: Mutex<Option<Firefox>>,
}

impl Films {
    fn site(&self) -> Builder {
        let accepted = self.accepted.clone();
        origin(&["api.mubi.com", "mubi.com"]).handler(move |request| {
            let sent = request.headers().get("authorization");
            let sent = sent.and_then(|sent| sent.to_str().ok()).unwrap_or_default();
            let accepted = accepted.lock().unwrap();
            let good = accepted
                .iter()
                .any(|token| sent.strip_prefix("Bearer ") == Some(token));
            let reply = if good {
                routes::text("a film")
            } else {
                routes::unauthorized()
            };
            async move { Ok(reply) }
        })
    }

    /// The person signs in anew: the browser has the new cookie a moment before the old one ends.
    pub fn sign_in(&self) {
        let token = canary("film");
        let cookie = json!({ "token": token, "user_id": 7, "id": canary("filmid") });
        self.issued.lock().unwrap().push(token.clone());
        self.accepted.lock().unwrap().push(token);
        let cookie = STANDARD.encode(cookie.to_string());
        let browser = self.browser.lock().unwrap();
        let browser = browser.as_ref().expect("a browser");
        browser.set("mubi.com", COOKIE, &cookie);
        let mut accepted = self.accepted.lock().unwrap();
        let old = accepted.len() - 1;
        accepted.drain(..old);
    }
}

/// The site leads elsewhere whoever asks for that: `?to=CODE,URL`.
fn leads(site: Builder) -> Builder {
    site.before(|request| async move {
        let query = request.uri().query().unwrap_or_default();
        let Some((code, url)) = query.strip_prefix("to=").and_then(|to| to.split_once(',')) else {
            return Err(request);
        };
        let mut reply = routes::reply(code.parse().expect("a status"), empty());
        let url = url.parse().expect("a URL");
        reply.headers_mut().insert(header::LOCATION, url);
        Ok(reply)
    })
}

fn configuration() -> String {
    let app = bound();
    format!(
        r#"
[clients.alice]
password = "env:ALICE"
[clients.bob]
password = "env:BOB"

[session.books]
provider = "oreilly"
clients = ["*"]

[session.audible]
provider = "audible"
clients = ["*"]

[session.app]
provider = "supabase"
clients = ["*"]
values = {{ host = "{PROJECT}", apikey = "{APIKEY}" }}
{app}
[session.films]
provider = "mubi"
clients = ["*"]

[session.ads]
provider = "amazon-ads"
clients = ["*"]
per_client = true
values = {{ client_id = "amzn1.application-oa2-client.x", region = "na" }}
secrets = {{ client_secret = "env:SECRET" }}

[session.other]
clients = ["*"]
bind = [{{ host = "{OTHER}" }}]
secrets = {{ token = "env:OTHER" }}
[[session.other.inject]]
header = "authorization"
value = "Bearer {{{{ token }}}}"
"#
    )
}

impl World {
    pub async fn start(tokens: Tokens) -> Arc<Self> {
        let (library, market, project) = (Library::new(), Marketplace::new(), Project::new());
        let amazon = Amazon::new(&["alice", "bob"]);
        project.with(|state| state.rules.tokens = tokens);
        let mut proxy = proxy::proxy().level("info");
        let films = Films {
            accepted: Arc::default(),
            issued: Mutex::default(),
            browser: Mutex::default(),
        };
        let sites = [
            (Place::Library, library.site()),
            (
                Place::Audible,
                market.on(origin(&["api.audible.com", "www.audible.com", SIDECARS])),
            ),
            (
                Place::Tokens,
                market.on(amazon.lwa(origin(&["api.amazon.com"]))),
            ),
            (Place::Project, project.site()),
            (Place::App, project.app()),
            (Place::Films, films.site()),
            (Place::Ads, amazon.ads()),
        ];
        let landed = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlanded";
        let third = says(THIRD, landed, After::Keep).await;
        let other = origin(&[OTHER]).start().await;
        proxy = proxy.raw(&third).site(&other);
        let (mut places, mut recorders) = (Vec::new(), Vec::new());
        for (place, site) in sites {
            let origin = leads(site).place(ports::free()).start().await;
            proxy = proxy.site(&origin);
            recorders.push((place, origin.recorder.clone()));
            places.push((place, Lock::new(origin)));
        }
        let mut proxy = proxy
            .config(configuration())
            .file("auth.json", AUTH)
            .env("OTHER", "the-token-of-the-other")
            .env("SECRET", "the-secret-of-the-application")
            .env("ALICE", "pw-alice")
            .env("BOB", "pw-bob")
            .prepare();
        *films.browser.lock().unwrap() = Some(Firefox::in_home(proxy.path()));
        films.sign_in();
        proxy.start().await;
        let world = Self {
            alice: as_user(&proxy, "alice"),
            bob: as_user(&proxy, "bob"),
            standin: signed_in(&proxy, &library, &amazon),
            library,
            market,
            project,
            amazon,
            films,
            places,
            recorders,
            proxy: Lock::new(proxy),
            third,
            other,
        };
        Arc::new(world)
    }

    pub fn place(&self, place: Place) -> &Lock<Origin> {
        let (_, origin) = self
            .places
            .iter()
            .find(|(known, _)| *known == place)
            .expect("all of them");
        origin
    }
}

fn as_user(proxy: &Proxy, name: &str) -> Client {
    let mut client = proxy.client();
    let basic = STANDARD.encode(format!("{name}:pw-{name}"));
    client.connect_fields = format!("Proxy-Authorization: Basic {basic}\r\n");
    client
}

/// What a person does once for each; returns the file that Audible's tools get.
fn signed_in(proxy: &Proxy, library: &Library, amazon: &Amazon) -> Value {
    let run = |line: &str, input: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let output = proxy.cli_with(&words, input);
        assert!(output.status.success(), "{line}: {output:?}");
    };
    let cookies = library.cookies_json();
    run("import books --from json --domain oreilly.com", &cookies);
    run("import audible --from audible auth.json", "");
    run("export audible --to audible-standin standin.json", "");
    for name in ["alice", "bob"] {
        let refresh = amazon.user(name, |user| user.refresh.clone());
        let token = json!({ "refresh_token": refresh }).to_string();
        run(&format!("import ads --client {name} --from json"), &token);
    }
    let file = std::fs::read_to_string(proxy.path().join("standin.json")).expect("the stand-in");
    serde_json::from_str(&file).expect("JSON")
}
