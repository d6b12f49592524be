//! `demo`: staysigned at work, in twenty seconds, on this machine alone.
//!
//! Two sites whose credentials die all the time, a script that fails there, and the same script that does not. All
//! of it is real: TLS, one-time refresh tokens with reuse detection, a private proxy as `run` starts it.

mod client;
mod site;
mod tally;
mod view;

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use serde_json::json;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use self::{
    client::{Sends, Way},
    site::{API, AUTH, SHOP, Site},
    tally::{Client, Result as Outcome, Tally},
    view::View,
};
use super::{
    error::Error,
    log::{self, Format},
    output,
    run::Folder,
    runtime,
    signals::Signals,
};
use crate::{
    ca::{self, Ca, Root},
    config::{Found, Listen, Place, Variables},
    env::Env,
    jar::Cookie,
    secret::Secret,
    server::{Options, Private, Server},
    session,
};

/// How long the scripts run; with start and end it is twenty seconds at most.
const LENGTH: Duration = Duration::from_secs(18);
/// How often each script asks each site.
const EVERY: Duration = Duration::from_millis(250);
/// How often the table is drawn.
const DRAW: Duration = Duration::from_millis(100);
/// When the API forgets its access tokens all at once: no expiry says so.
const REVOKED: [Duration; 2] = [Duration::from_millis(7_300), Duration::from_millis(13_100)];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show nothing but what came of it, as JSON
    #[arg(long)]
    json: bool,
}

/// What the proxy did.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    renewals: u64,
    rotations: u64,
    replays: u64,
}

/// All that runs in a demo.
struct Stage {
    site: Arc<Site>,
    server: Server,
    alone: client::Client,
    through: client::Client,
}

/// Shows it; returns the exit code.
pub(super) fn run(args: &Args) -> Result<u8, Error> {
    log::start("error", Format::text())?;
    let folder = Folder::temporary().map_err(|e| Error::because("cannot make a folder", e))?;
    let runtime = runtime::many()?;
    let code = runtime.block_on(play(args, folder.path()));
    runtime.shutdown_background();
    code
}

async fn play(args: &Args, folder: &Path) -> Result<u8, Error> {
    let failed = |e: io::Error| Error::because("the demo cannot be set up", e);
    let mut view = (!args.json).then(View::new);
    if let Some(view) = &view {
        view.introduce()?;
    }
    let env = Env::real();
    let params = ca::Params {
        folder: &folder.join("site"),
        constrain: None,
        leaves: 8,
    };
    let site = Site::new(Ca::open(&params, env.clone())?, env);
    let (listener, address) = site::bind().await.map_err(failed)?;
    tokio::spawn(site.clone().serve(listener));
    let Stage {
        site,
        server,
        alone,
        through,
    } = Stage::set(site, address, folder).await?;
    let given = Sends {
        token: Some(site.sign_in().0),
        cookie: Some(site.enter()),
    };

    let sessions = server.sessions();
    let counted = || {
        let all = sessions.all();
        let sum = |count: fn(&session::Status) -> u64| {
            all.iter().map(|session| count(&session.status())).sum()
        };
        Counted {
            renewals: sum(|status| status.counters.refreshes),
            rotations: sum(|status| {
                if status.name == "shop" {
                    status.counters.rotations
                } else {
                    0
                }
            }),
            replays: sum(|status| status.counters.replayed),
        }
    };
    let (end, ended) = oneshot::channel();
    let running = tokio::spawn(server.run(async {
        drop(ended.await);
    }));
    let tally = Arc::new(Mutex::new(Tally::default()));
    let begun = Instant::now();
    let mut scripts = JoinSet::new();
    for host in tally::SITES {
        for (client, by, sends) in [
            (Client::Plain, &alone, given.clone()),
            (Client::Staysigned, &through, Sends::default()),
        ] {
            let script = Script {
                client,
                by: by.clone(),
                host,
                sends,
                tally: tally.clone(),
            };
            scripts.spawn(script.run(begun));
        }
    }
    let forgetful = site.clone();
    scripts.spawn(async move {
        for at in REVOKED {
            sleep_until(begun + at).await;
            forgetful.revoke();
        }
    });

    let mut signals = Signals::new().map_err(failed)?;
    let mut draw = interval(DRAW);
    let interrupted = loop {
        tokio::select! {
            _ = draw.tick() => {}
            _ = signals.next() => break true,
        }
        let at = begun.elapsed().min(LENGTH);
        if let Some(view) = &mut view {
            let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            view.show(&tally, &counted(), at)?;
        }
        if at == LENGTH {
            break false;
        }
    };
    scripts.shutdown().await;
    let ended = Ended {
        proxy: counted(),
        sites: site.counts(),
        interrupted,
    };
    end.send(()).ok();
    // What it has to say is in the log.
    drop(running.await);
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    ended.tell(args, &tally)
}

/// A script that asks one site again and again.
struct Script {
    client: Client,
    by: client::Client,
    host: &'static str,
    sends: Sends,
    tally: Arc<Mutex<Tally>>,
}

/// How it ended.
struct Ended {
    proxy: Counted,
    sites: site::Counts,
    interrupted: bool,
}

// === impl Stage ===

impl Stage {
    /// Starts the proxy, signed in to both sites.
    async fn set(site: Arc<Site>, address: SocketAddr, folder: &Path) -> Result<Self, Error> {
        let failed = |e: io::Error| Error::because("the demo cannot be set up", e);
        let path = folder.join("config.toml");
        fs::write(&path, configuration(address)).map_err(failed)?;
        let place = Place {
            path,
            found: Found::Option,
            notes: Vec::new(),
        };
        let variables = Variables::from_iter([("REFRESH_TOKEN", site.sign_in().1)]);
        let options = Options {
            private: Some(Private::default()),
        };
        let server = Server::start(place, variables, &options).await?;
        let [Listen::Tcp(proxy)] = server.addresses()[..] else {
            return Err(Error::failed("the private proxy has no address"));
        };
        let shop = server.sessions().find("shop", None);
        let shop = shop.ok_or_else(|| Error::failed("the demo has no session"))?;
        let material = session::Material {
            cookies: vec![cookie(site.enter())],
            ..session::Material::default()
        };
        shop.put_material(material).await?;
        let alone = client::Client::new(Way::Direct(address), &Root::file(&folder.join("site")));
        let through = client::Client::new(Way::Proxy(proxy), server.ca_file());
        Ok(Self {
            alone: alone.map_err(failed)?,
            through: through.map_err(failed)?,
            site,
            server,
        })
    }
}

fn configuration(site: SocketAddr) -> String {
    format!(
        r#"[proxy]
upstream_proxy = "none"
extra_roots = ["site/ca.pem"]
resolve = {{ "{API}:443" = "{site}", "{AUTH}:443" = "{site}", "{SHOP}:443" = "{site}" }}

[store]
url = "memory:"

[session.api]
bind = [{{ host = "{API}" }}]
values = {{ client_id = "demo" }}
secrets = {{ refresh_token = "env:REFRESH_TOKEN" }}
[[session.api.inject]]
header = "authorization"
value = "Bearer {{{{ access_token }}}}"
[session.api.refresh]
token_url = "https://{AUTH}/token"
client_auth = "none"
ahead = "1s"
cooldown = "1s"

[session.shop]
bind = [{{ host = "{SHOP}" }}]
concurrency = "serial"
[session.shop.cookies]
required = ["sid"]
[session.shop.refresh]
kind = "none"
"#
    )
}

fn cookie(value: String) -> Cookie {
    Cookie {
        name: b"sid".to_vec(),
        value: Secret::new(value.into_bytes()),
        domain: SHOP.to_owned(),
        path: "/".to_owned(),
        host_only: true,
        secure: true,
        http_only: true,
        same_site: None,
        expires: None,
        created: SystemTime::now(),
        assumed: false,
    }
}

// === impl Script ===

impl Script {
    async fn run(self, begun: Instant) {
        let Self {
            client,
            by,
            host,
            sends,
            tally,
        } = self;
        let mut turn = interval(EVERY);
        turn.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while begun.elapsed() < LENGTH {
            turn.tick().await;
            let result = match by.get(host, &sends).await {
                Ok(status) if status.is_success() => Outcome::Ok,
                Ok(_) => Outcome::Refused,
                Err(_) => Outcome::Failed,
            };
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.add(host, client, result);
        }
    }
}

// === impl Ended ===

impl Ended {
    /// Says what came of it; returns the exit code.
    fn tell(&self, args: &Args, tally: &Tally) -> Result<u8, Error> {
        let Self {
            proxy,
            sites,
            interrupted,
        } = self;
        let (alone, alone_bad) = tally.total(Client::Plain);
        let (through, through_bad) = tally.total(Client::Staysigned);
        let Counted {
            renewals,
            rotations,
            replays,
        } = proxy;
        if args.json {
            output::json(&json!({
                "script_alone": { "requests": alone, "refused": alone_bad },
                "through_staysigned": { "requests": through, "refused": through_bad },
                "renewals": renewals, "rotations": rotations, "replays": replays,
                "refresh_tokens_redeemed": sites.redeemed, "refresh_tokens_reused": sites.reused,
            }))?;
        } else {
            let twice = match sites.reused {
                0 => "none twice".to_owned(),
                n => format!("{n} of them twice"),
            };
            output::print(format_args!(
                "\nThe script alone was refused {alone_bad} of {alone} times; through staysigned {through_bad} of \
                 {through}.\n{} refresh tokens were used, {twice}; {rotations} new cookies were kept; {replays} \
                 requests\nwere refused by the site and sent again, renewed, before the script saw it.\n\
                 \nYour own: staysigned init\n",
                sites.redeemed
            ))?;
        }
        match (interrupted, through_bad, sites.reused) {
            (true, _, _) => Ok(130),
            (false, 0, 0) => Ok(0),
            (false, _, _) => Err(Error::failed(
                "a request was refused that should not have been",
            )),
        }
    }
}
