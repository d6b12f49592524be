//! The databases of Firefox and Chromium (NSS), one for each profile, written by `certutil`.

use std::{fs, path::PathBuf};

use super::{Anchor, Machine, Outcome, Step, Way, run};

/// Folders below the home that are databases.
const DATABASES: [&str; 2] = [".pki/nssdb", "snap/chromium/current/.pki/nssdb"];
/// Folders below the home whose folders are Firefox profiles.
const PROFILES: [&str; 4] = [
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
    "Library/Application Support/Firefox/Profiles",
];

/// Puts the CA into every database of the user, or takes it out.
pub(super) fn apply(machine: &Machine, anchor: &Anchor, way: Way) -> Vec<Step> {
    let certutil = machine.find("certutil");
    let step = |folder: PathBuf| {
        let place = format!("NSS database ({})", folder.display());
        let Some(tool) = &certutil else {
            let install = "`certutil` is missing; it is in libnss3-tools (Debian), nss-tools (Fedora), nss (Arch, Homebrew)";
            return Step {
                place,
                outcome: Outcome::Failed(install.into()),
            };
        };
        let database = format!("sql:{}", folder.display());
        let call = |verb: &str, more: &[&str], input: &[u8]| {
            let args = [&[verb, "-d", &database, "-n", &anchor.name][..], more].concat();
            run(tool, &args, input)
        };
        let there = call("-L", &[], &[]).is_ok();
        let result = match way {
            Way::In if there => return Step::new(place, Outcome::Already),
            Way::Out if !there => return Step::new(place, Outcome::Already),
            // `C`: may vouch for servers. The certificate is read from standard input.
            Way::In => call("-A", &["-a", "-t", "C,,"], &anchor.pem),
            Way::Out => call("-D", &[], &[]),
        };
        Step::new(
            place,
            result.map_or_else(Outcome::Failed, |()| Outcome::Done),
        )
    };
    databases(machine).into_iter().map(step).collect()
}

fn databases(machine: &Machine) -> Vec<PathBuf> {
    let Some(home) = &machine.home else {
        return Vec::new();
    };
    let profiles = PROFILES.iter().flat_map(|folder| {
        let entries = fs::read_dir(home.join(folder)).into_iter().flatten();
        entries.flatten().map(|entry| entry.path())
    });
    let mut found: Vec<_> = DATABASES
        .iter()
        .map(|folder| home.join(folder))
        .chain(profiles)
        .filter(|folder| folder.join("cert9.db").is_file())
        .collect();
    found.sort();
    found
}

impl Step {
    fn new(place: String, outcome: Outcome) -> Self {
        Self { place, outcome }
    }
}
