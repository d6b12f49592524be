//! What happens to the five systems and to the proxy, each at its own random moments.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    super::{
        library::{State, Trick},
        lwa::Brings,
    },
    tools::Ledger,
    world::{Place, Tenant, World},
};
use crate::support::{client::eventually, dice::Dice, project::Fault};

/// How long a system may take until its tools work again.
const CURE: Duration = Duration::from_secs(60);

/// Something that ended and came back: its tools may have had no answer meanwhile.
#[derive(Debug)]
pub struct Outage {
    /// Nobody in particular: the proxy.
    pub tenants: Vec<Tenant>,
    pub away: Away,
    pub begun: Instant,
    pub ended: Instant,
}

/// What was away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Away {
    /// What answers, and renews nothing.
    Host,
    /// What the session is renewed with, and no more.
    Tokens,
    Both,
}

/// What a tool was told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wants {
    Answer,
    /// It has asked the token endpoint itself.
    Token,
    /// That the session cannot be renewed.
    Renewal,
}

/// How long after a token endpoint came back a tool may still be told that it is away: nobody asks it all the time.
const ECHO: Duration = Duration::from_secs(3);

// === impl Outage ===

impl Outage {
    /// From when to when it is a reason, if it is one.
    pub fn excuses(&self, tenant: Tenant, wants: Wants) -> Option<(Instant, Instant)> {
        let whose = self.tenants.is_empty() || self.tenants.contains(&tenant);
        let echo = match (wants, self.away) {
            (Wants::Answer, Away::Tokens) | (Wants::Renewal, Away::Host) => return None,
            (Wants::Answer, _) | (Wants::Token, Away::Host) => Duration::ZERO,
            (Wants::Token | Wants::Renewal, _) => ECHO,
        };
        whose.then_some((self.begun, self.ended + echo))
    }
}

#[derive(Default)]
pub struct Outages {
    pub all: Mutex<Vec<Outage>>,
    pub done: Mutex<Vec<String>>,
}

impl Outages {
    fn note(&self, tenants: &[Tenant], away: Away, begun: Instant) {
        self.all.lock().unwrap().push(Outage {
            tenants: tenants.to_vec(),
            away,
            begun,
            ended: Instant::now(),
        });
    }
}

/// Troubles one tenant, until the end; each trouble is over before the next one comes.
pub async fn of_tenant(
    world: Arc<World>,
    ledger: Arc<Ledger>,
    outages: Arc<Outages>,
    tenant: Tenant,
    mut dice: Dice,
) {
    while !ledger.calm() {
        let pause = dice.between(Duration::from_millis(200), Duration::from_millis(2_500));
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        let (what, faulty) = trouble(&world, &outages, tenant, &mut dice).await;
        let moment = Instant::now();
        outages
            .done
            .lock()
            .unwrap()
            .push(format!("{tenant:?}: {what}"));
        let cured = || ledger.good_since(tenant, moment).then_some(());
        eventually(&format!("{tenant:?} works after {what}"), CURE, cured).await;
        if faulty {
            // A tool that refreshes by itself may be told what the token endpoint says.
            outages.note(&[tenant], Away::Tokens, begun);
        }
    }
}

/// Ends what a tool was let in with, once one was: a credential that is void before it was ever used is more than one
/// request sent again can cure.
async fn ends(what: &str, mut end: impl FnMut() -> bool) {
    eventually(what, CURE, || end().then_some(())).await;
}

/// Returns what was done, and whether a token endpoint fails.
async fn trouble(
    world: &World,
    outages: &Outages,
    tenant: Tenant,
    dice: &mut Dice,
) -> (String, bool) {
    let chance = dice.below(8);
    let place = match (tenant, chance) {
        (Tenant::Books, 0) => Some((Place::Library, vec![tenant])),
        (Tenant::Audio, 0) => Some((Place::Audible, vec![tenant])),
        (Tenant::Audio, 1) => {
            let tenants = vec![Tenant::Audio, Tenant::Alice, Tenant::Bob];
            Some((Place::Tokens, tenants))
        }
        (Tenant::App, 0) => Some((Place::Project, vec![tenant])),
        (Tenant::App, 1) => Some((Place::App, vec![tenant])),
        (Tenant::Films, 0) => Some((Place::Films, vec![tenant])),
        (Tenant::Alice, 0) => Some((Place::Ads, vec![Tenant::Alice, Tenant::Bob])),
        _ => None,
    };
    if let Some((place, tenants)) = place {
        return (restart(world, outages, place, &tenants, dice).await, false);
    }
    match tenant {
        Tenant::Books => (book(world, dice).await, false),
        Tenant::Audio => {
            let faulty = chance < 4;
            ends("a signature is taken", || {
                world.market.with(|state| {
                    if state.unused {
                        return false;
                    }
                    state.stubborn = true;
                    if faulty {
                        state.tokens = vec![(503, "text/plain", "not now".to_owned())];
                    }
                    true
                })
            })
            .await;
            let what = "signatures are refused, the token endpoint fails";
            (format!("{what}: {faulty}"), faulty)
        }
        Tenant::App if chance == 2 => {
            world.project.with(|state| {
                let used = state.rules.access.iter().filter(|(_, access)| access.used);
                state.restarted = Some(used.map(|(token, _)| token.clone()).collect());
            });
            ("the app has forgotten everybody".to_owned(), false)
        }
        Tenant::App => app(world, dice),
        Tenant::Films => {
            world.films.sign_in();
            ("a new login in the browser".to_owned(), false)
        }
        Tenant::Alice | Tenant::Bob => (ads(world, tenant, chance == 1, dice).await, chance == 1),
    }
}

async fn book(world: &World, dice: &mut Dice) -> String {
    // Two in a row are more than one request sent again can cure.
    ends("the trick before was met, and its request answered", || {
        let over = |state: &mut State| state.tricks.is_empty() && !state.troubled;
        world.library.with(over)
    })
    .await;
    if dice.below(6) == 0 {
        world.library.with(|state| state.ended = true);
        return "the session has ended".to_owned();
    }
    let trick = dice.of(&[
        Trick::Unauthorized,
        Trick::Forbidden,
        Trick::ToLogin,
        Trick::LoginPage,
        Trick::Script,
        Trick::Truncated,
    ]);
    let below = match trick {
        // It is no chapter, but nobody knows.
        Trick::Script => "/api/v1/",
        _ => "/api",
    };
    world
        .library
        .with(|state| state.tricks.push((below, trick)));
    format!("{trick:?}")
}

fn app(world: &World, dice: &mut Dice) -> (String, bool) {
    let lifetime = dice.of(&[6, 20, 3600]);
    let fault = dice.of(&[
        None,
        None,
        Some(Fault::Status(503, None)),
        Some(Fault::Reset),
        Some(Fault::ResetAfterCommit),
        Some(Fault::Html),
    ]);
    world.project.with(|state| {
        state.rules.lifetime = lifetime;
        state.delay = dice.millis(200);
        // One at a time: two pages in place of answers are no passing failure any more.
        state.faults.clear();
        state.faults.extend(fault);
        state.rules.revoke_used();
    });
    let what = format!("used tokens are void, the next live {lifetime} s, {fault:?}");
    (what, fault.is_some())
}

async fn ads(world: &World, tenant: Tenant, faulty: bool, dice: &mut Dice) -> String {
    let name = if tenant == Tenant::Alice {
        "alice"
    } else {
        "bob"
    };
    // A new one would void the old one at once, and a kill at that moment could not be cured.
    let brings = dice.of(&[Brings::Same, Brings::None]);
    let delay = dice.millis(300);
    ends("the token is used", || {
        world.amazon.user(name, |user| {
            (user.brings, user.delay) = (brings, delay);
            user.good &= !user.used;
            user.used
        })
    })
    .await;
    if faulty {
        let failure = (500, "text/plain", "not now".to_owned());
        world.amazon.with(|state| state.says = vec![failure]);
    }
    format!("the access token is void, {brings:?}, fails: {faulty}")
}

async fn restart(
    world: &World,
    outages: &Outages,
    place: Place,
    tenants: &[Tenant],
    dice: &mut Dice,
) -> String {
    let mut origin = world.place(place).lock().await;
    let begun = Instant::now();
    let down = dice.millis(500);
    origin.stop().await;
    tokio::time::sleep(down).await;
    origin.resume().await;
    let away = match place {
        Place::Tokens => Away::Tokens,
        Place::Library | Place::Project => Away::Both,
        Place::Audible | Place::App | Place::Films | Place::Ads => Away::Host,
    };
    outages.note(tenants, away, begun);
    format!("{place:?} was away for {down:?}")
}

/// Ends the proxy now and then, in one of the two ways, and starts it again.
pub async fn of_proxy(
    world: Arc<World>,
    ledger: Arc<Ledger>,
    outages: Arc<Outages>,
    mut dice: Dice,
) {
    while !ledger.calm() {
        let pause = dice.between(Duration::from_secs(3), Duration::from_secs(9));
        tokio::time::sleep(pause).await;
        let mut proxy = world.proxy.lock().await;
        let begun = Instant::now();
        let kill = dice.below(2) == 0;
        if kill {
            proxy.kill();
        } else {
            proxy.signal(rustix::process::Signal::TERM);
            let status = proxy.wait(Duration::from_secs(60)).await;
            assert!(status.success(), "SIGTERM: {status}");
        }
        proxy.start().await;
        outages.note(&[], Away::Host, begun);
        drop(proxy);
        let how = if kill { "kill -9" } else { "SIGTERM" };
        outages
            .done
            .lock()
            .unwrap()
            .push(format!("the proxy: {how}"));
        let moment = Instant::now();
        for tenant in Tenant::ALL {
            let works = || ledger.good_since(tenant, moment).then_some(());
            eventually(&format!("{tenant:?} works after {how}"), CURE, works).await;
        }
    }
}
