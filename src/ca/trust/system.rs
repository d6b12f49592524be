//! The system's own store, from which most tools read: a folder of anchors and a command that makes bundles of them;
//! on macOS the user's keychain.

use std::{fs, io, path::Path};

use super::{Anchor, Machine, Outcome, Step, Way, has, quoted, run, said};

/// A folder of anchors and the command that follows a change in it.
pub(super) struct Store {
    folder: &'static str,
    /// The ending that the command looks for.
    ending: &'static str,
    command: &'static [&'static str],
}

pub(super) const STORES: [Store; 4] = [
    // Debian, Ubuntu, Alpine, Gentoo
    Store {
        folder: "/usr/local/share/ca-certificates",
        ending: "crt",
        command: &["update-ca-certificates"],
    },
    // Fedora, RHEL
    Store {
        folder: "/etc/pki/ca-trust/source/anchors",
        ending: "pem",
        command: &["update-ca-trust", "extract"],
    },
    // Arch
    Store {
        folder: "/etc/ca-certificates/trust-source/anchors",
        ending: "pem",
        command: &["update-ca-trust", "extract"],
    },
    // openSUSE
    Store {
        folder: "/etc/pki/trust/anchors",
        ending: "pem",
        command: &["update-ca-certificates"],
    },
];

/// Only macOS has it.
const MACOS: &str = "/System/Library/Keychains";

/// Puts the CA into the system's store, or takes it out.
pub(super) fn apply(machine: &Machine, anchor: &Anchor, way: Way) -> Step {
    if machine.at(MACOS).is_dir() {
        return keychain(machine, anchor, way);
    }
    for store in &STORES {
        let Some(program) = machine.find(store.command[0]) else {
            continue;
        };
        let folder = machine.at(store.folder);
        if folder.is_dir() {
            return Step {
                place: format!("system ({})", folder.display()),
                outcome: store.apply(&folder, &program, anchor, way),
            };
        }
    }
    Step {
        place: "system".into(),
        outcome: Outcome::Failed(format!(
            "no store that we know of; add {} as this system wants it",
            anchor.path.display()
        )),
    }
}

// === impl Store ===

impl Store {
    fn apply(&self, folder: &Path, program: &Path, anchor: &Anchor, way: Way) -> Outcome {
        let target = folder.join(format!("{}.{}", anchor.file_stem(), self.ending));
        let changed = match way {
            Way::In if has(&target, &anchor.pem) => return Outcome::Already,
            Way::Out if !target.exists() => return Outcome::Already,
            Way::In => fs::write(&target, &anchor.pem),
            Way::Out => fs::remove_file(&target),
        };
        let manual = || self.by_hand(&target, program, anchor, way);
        match changed {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Outcome::NeedsRoot(manual());
            }
            Err(error) => return Outcome::Failed(format!("{}: {error}", target.display())),
        }
        let mut args = self.command[1..].to_vec();
        // Without it Debian's command leaves links to what is gone.
        if way == Way::Out && self.command[0] == "update-ca-certificates" {
            args.push("--fresh");
        }
        match run(program, &args, &[]) {
            Ok(()) => Outcome::Done,
            Err(reason) => {
                // So that the next try does not find everything in place.
                if way == Way::In {
                    fs::remove_file(&target).ok();
                }
                Outcome::Failed(reason)
            }
        }
    }

    /// Returns the same as a command line.
    pub(super) fn by_hand(
        &self,
        target: &Path,
        program: &Path,
        anchor: &Anchor,
        way: Way,
    ) -> String {
        let target = quoted(&target.to_string_lossy());
        let mut update = vec![quoted(&program.to_string_lossy())];
        update.extend(self.command[1..].iter().map(|word| quoted(word)));
        let update = update.join(" ");
        match way {
            Way::In => {
                let from = quoted(&anchor.path.to_string_lossy());
                format!("sudo install -m 0644 {from} {target} && sudo {update}")
            }
            Way::Out => format!("sudo rm {target} && sudo {update}"),
        }
    }
}

/// The user's keychain: macOS asks for the password in a window of its own.
fn keychain(machine: &Machine, anchor: &Anchor, way: Way) -> Step {
    let outcome = machine.find("security").map_or_else(
        || Outcome::Failed("there is no `security` command".into()),
        |tool| change_keychain(machine, &tool, anchor, way),
    );
    Step {
        place: "login keychain".into(),
        outcome,
    }
}

fn change_keychain(machine: &Machine, tool: &Path, anchor: &Anchor, way: Way) -> Outcome {
    let home = machine.home.as_deref().unwrap_or(Path::new("/"));
    let keychain = home.join("Library/Keychains/login.keychain-db");
    let keychain = keychain.to_string_lossy();
    let path = anchor.path.to_string_lossy();
    let hash = anchor.fingerprint().to_uppercase();
    let listed = said(tool, &["find-certificate", "-a", "-Z", &keychain], &[]);
    let is_there = listed.is_ok_and(|list| list.to_uppercase().contains(&hash));
    let args: &[&str] = match (way, is_there) {
        (Way::In, true) | (Way::Out, false) => return Outcome::Already,
        (Way::In, false) => &[
            "add-trusted-cert",
            "-r",
            "trustRoot",
            "-k",
            &keychain,
            &path,
        ],
        // With what was said about trusting it.
        (Way::Out, true) => &["delete-certificate", "-t", "-Z", &hash, &keychain],
    };
    match run(tool, args, &[]) {
        Ok(()) => Outcome::Done,
        Err(reason) => Outcome::Failed(reason),
    }
}
