//! What the hosts saw: no credential of another's, no cookie twice, nothing that a tool had in its place.

use std::collections::HashSet;

use regex::bytes::Regex;

use super::{
    super::marketplace::auth,
    tools::Ledger,
    world::{Place, World},
};
use crate::support::origin::Recorder;

/// A pattern of all of these; none must be empty.
pub fn any(secrets: impl IntoIterator<Item = String>) -> Regex {
    let all: HashSet<String> = secrets
        .into_iter()
        .map(|secret| regex::escape(&secret))
        .collect();
    assert!(!all.is_empty());
    let all: Vec<String> = all.into_iter().collect();
    regex::bytes::RegexBuilder::new(&all.join("|"))
        .size_limit(1 << 30)
        .build()
        .expect("a pattern of literals")
}

/// The credentials of each system.
pub fn secrets(world: &World) -> Vec<(&'static str, Vec<String>)> {
    let library = world.library.with(|state| {
        let mut all = state.values.clone();
        all.push(state.lasting.clone());
        all
    });
    let names = ["adp_token", "access_token", "refresh_token"];
    let mut audible: Vec<String> = names.iter().map(|name| auth(name)).collect();
    audible.push("renewedOfManyLetters".to_owned());
    let amazon = world.amazon.with(|state| {
        let users = state.users.values();
        let mut all: Vec<String> = users
            .flat_map(|user| user.access.iter().chain([&user.refresh]))
            .cloned()
            .collect();
        all.push("the-secret-of-the-application".to_owned());
        all
    });
    vec![
        ("oreilly", library),
        ("audible", audible),
        (
            "supabase",
            world.project.with(|state| state.rules.issued.clone()),
        ),
        ("mubi", world.films.issued.lock().unwrap().clone()),
        ("amazon-ads", amazon),
    ]
}

/// Whose credentials may be seen where.
fn owners(place: Place) -> &'static [&'static str] {
    match place {
        Place::Library => &["oreilly"],
        Place::Audible => &["audible"],
        Place::Tokens => &["audible", "amazon-ads"],
        Place::Project | Place::App => &["supabase"],
        Place::Films => &["mubi"],
        Place::Ads => &["amazon-ads"],
    }
}

/// Returns how many requests were looked at.
pub fn judge(world: &World, ledger: &Ledger) -> usize {
    let given = ledger.given.lock().unwrap().clone();
    let secrets = secrets(world);
    let tools = ["adp_token", "access_token", "refresh_token"]
        .map(|name| world.standin[name].as_str().expect("a text").to_owned());
    let standins = any(given
        .iter()
        .cloned()
        .chain(tools)
        .chain(["ADDHERE".to_owned()]));
    let mut looked = 0;
    for (place, recorder) in &world.recorders {
        let seen = recorder.everything();
        for (system, secrets) in &secrets {
            if owners(*place).contains(system) {
                continue;
            }
            if let Some(found) = any(secrets.iter().cloned()).find(&seen) {
                panic!(
                    "{place:?} has seen a credential of {system}: {}",
                    around(&seen, found.start())
                );
            }
        }
        if let Some(found) = standins.find(&seen) {
            panic!(
                "{place:?} has seen what a tool holds: {}",
                around(&seen, found.start())
            );
        }
        looked += cookies_once(*place, recorder);
    }
    // Host and path: two token endpoints share one host.
    let forms = world.market.with(|state| format!("{:?}", state.forms));
    let amazon = world.amazon.with(|state| format!("{:?}", state.forms));
    for (system, secrets) in &secrets {
        for (owner, forms) in [("audible", &forms), ("amazon-ads", &amazon)] {
            if *system != owner {
                let found = any(secrets.iter().cloned()).is_match(forms.as_bytes());
                assert!(
                    !found,
                    "{owner}'s token endpoint has seen a secret of {system}"
                );
            }
        }
    }
    // Nothing that tools were given is real.
    for (system, secrets) in &secrets {
        let real: HashSet<&String> = secrets.iter().collect();
        let leaked = given.iter().any(|token| real.contains(token));
        assert!(!leaked, "a tool was given a credential of {system}");
    }
    looked
}

pub fn around(text: &[u8], at: usize) -> String {
    let part = &text[at.saturating_sub(300)..text.len().min(at + 60)];
    String::from_utf8_lossy(part).into_owned()
}

fn cookies_once(place: Place, recorder: &Recorder) -> usize {
    let requests = recorder.requests.lock().unwrap();
    for seen in requests.iter() {
        let lines = seen.fields.get_all("cookie").iter();
        let mut names = HashSet::new();
        for pair in lines.flat_map(|line| line.to_str().expect("text").split("; ")) {
            let name = pair.split('=').next().unwrap_or_default().to_owned();
            assert!(names.insert(name), "{place:?}: a cookie twice: {pair}");
        }
    }
    requests.len()
}
