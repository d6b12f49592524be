//! `ca print|path|install|uninstall|renew`.
//!
//! Only renewing needs the key: whoever may read the certificate may print and install it.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    time::SystemTime,
};

use time::OffsetDateTime;

use crate::{
    ca::{
        self, Root,
        trust::{Anchor, Machine, Outcome, Step},
    },
    rule::HostPattern,
};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The certificate as PEM.
    Print,
    /// Its file, on one line.
    Path,
    Install,
    Uninstall,
    Renew,
}

/// What the command works on.
#[derive(Clone, Copy)]
pub struct Params<'a> {
    /// The folder of the CA.
    pub folder: &'a Path,
    /// The hosts for which a CA made now is good; `None`: all.
    pub constrain: Option<&'a [HostPattern]>,
    pub machine: &'a Machine,
    pub now: SystemTime,
    /// Tells the proxy that runs of a new CA.
    pub tell: &'a dyn Fn() -> Told,
}

/// What came of telling the proxy that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// None was found.
    Nobody,
    /// It signs with the new one.
    Taken,
    /// It still signs with the old one, and this is why.
    Refused(String),
}

/// How it ended, if it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Whole,
    /// Something is left to be done by hand; it was said what.
    InPart,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Ca(#[from] ca::Error),
    #[error("cannot write the answer")]
    Write(#[from] io::Error),
}

/// Carries the command out and writes what it did. A CA that is not there is made, unless it should go.
pub fn run(command: Command, params: &Params<'_>, out: &mut dyn Write) -> Result<Ended, Error> {
    let Params {
        folder,
        constrain,
        machine,
        now,
        tell: _,
    } = *params;
    if command == Command::Renew {
        return renew(params, out);
    }
    let path = Root::file(folder);
    if !path.exists() && command != Command::Uninstall {
        Root::open(folder, constrain, now)?;
    }
    let anchor = Anchor::read(&path)?;
    match command {
        Command::Print => out.write_all(fs::read(&path)?.as_slice())?,
        Command::Path => writeln!(out, "{}", anchor.path.display())?,
        Command::Install => return install(folder, &anchor, machine, out),
        Command::Uninstall => {
            let mut steps = uninstall_old(folder, machine);
            steps.extend(machine.uninstall(&anchor));
            return told(&steps, out);
        }
        Command::Renew => unreachable!("taken above"),
    }
    Ok(Ended::Whole)
}

fn install(
    folder: &Path,
    anchor: &Anchor,
    machine: &Machine,
    out: &mut dyn Write,
) -> Result<Ended, Error> {
    writeln!(out, "{} ({})", anchor.name, anchor.path.display())?;
    writeln!(out, "SHA-256 {}", anchor.fingerprint())?;
    // First out with the old: a machine that trusts two of ours trusts a key that is gone.
    let mut steps = uninstall_old(folder, machine);
    steps.extend(machine.install(anchor));
    let ended = told(&steps, out)?;
    if ended == Ended::Whole {
        fs::remove_file(Root::old_file(folder)).ok();
    }
    writeln!(
        out,
        "Python, Node and Java do not read these stores: `staysigned run -- CMD` gives such tools what they need."
    )?;
    Ok(ended)
}

/// Takes out what renewals replaced. What was never in a store is not worth a line.
fn uninstall_old(folder: &Path, machine: &Machine) -> Vec<Step> {
    let mut steps = Vec::new();
    for old in Anchor::all(&Root::old_file(folder)) {
        for mut step in machine.uninstall(&old) {
            if step.outcome != Outcome::Already {
                step.place = format!("{}, the old {}", step.place, old.name);
                steps.push(step);
            }
        }
    }
    steps
}

fn told(steps: &[Step], out: &mut dyn Write) -> Result<Ended, Error> {
    let mut ended = Ended::Whole;
    for step in steps {
        writeln!(out, "{step}")?;
        if !matches!(step.outcome, Outcome::Done | Outcome::Already) {
            ended = Ended::InPart;
        }
    }
    Ok(ended)
}

fn renew(params: &Params<'_>, out: &mut dyn Write) -> Result<Ended, Error> {
    let root = Root::renew(params.folder, params.constrain, params.now)?;
    let end = OffsetDateTime::from(root.not_after()).date();
    writeln!(out, "{} is new, and valid until {end}", root.name())?;
    let told = (params.tell)();
    if told == Told::Taken {
        writeln!(out, "The running proxy signs with it from now on.")?;
    }
    writeln!(out, "What has to be done again:")?;
    match told {
        Told::Taken => {}
        Told::Nobody => writeln!(
            out,
            "  `kill -HUP` a proxy that runs without an admin side: it still signs with the old one"
        )?,
        Told::Refused(why) => writeln!(
            out,
            "  restart the running proxy, which still signs with the old one: {why}"
        )?,
    }
    let old = Root::old_file(params.folder);
    if old.exists() {
        writeln!(
            out,
            "  staysigned ca install, if the old one was installed; until then it is kept as {}",
            old.display()
        )?;
    }
    writeln!(
        out,
        "  give the new {} to whatever has a copy of the old; start tools anew that `run` or `env` prepared",
        root.path().display()
    )?;
    Ok(Ended::Whole)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    struct Place {
        folder: TempDir,
        machine: Machine,
    }

    impl Place {
        /// A machine with Debian's store, its command doing nothing.
        fn new() -> Self {
            let folder = TempDir::new().unwrap();
            let at = |path: &str| folder.path().join(path);
            fs::create_dir_all(at("usr/local/share/ca-certificates")).unwrap();
            fs::create_dir_all(at("usr/sbin")).unwrap();
            std::os::unix::fs::symlink("/bin/true", at("usr/sbin/update-ca-certificates")).unwrap();
            let machine = Machine {
                root: folder.path().to_owned(),
                home: None,
                path: "".into(),
            };
            Self { folder, machine }
        }

        fn run(&self, command: Command) -> Result<(Ended, String), Error> {
            self.run_beside(command, Told::Nobody)
        }

        /// Runs it beside a proxy that answers so.
        fn run_beside(&self, command: Command, told: Told) -> Result<(Ended, String), Error> {
            let certs = self.folder.path().join("certs");
            let params = Params {
                folder: &certs,
                constrain: None,
                machine: &self.machine,
                now: SystemTime::now(),
                tell: &|| told.clone(),
            };
            let mut out = Vec::new();
            let ended = run(command, &params, &mut out)?;
            Ok((ended, String::from_utf8(out).unwrap()))
        }

        fn installed(&self) -> usize {
            let store = self.folder.path().join("usr/local/share/ca-certificates");
            fs::read_dir(store).unwrap().count()
        }
    }

    #[test]
    fn from_nothing_to_installed_to_renewed_to_gone() {
        let place = Place::new();
        let gone = place.run(Command::Uninstall).unwrap_err();
        assert!(matches!(gone, Error::Ca(ca::Error::Io { .. })), "{gone}");
        let (_, pem) = place.run(Command::Print).unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n"));
        let (_, path) = place.run(Command::Path).unwrap();
        assert_eq!(fs::read_to_string(path.trim_end()).unwrap(), pem);

        let (ended, said) = place.run(Command::Install).unwrap();
        assert_eq!((ended, place.installed()), (Ended::Whole, 1));
        assert!(
            said.starts_with("staysigned CA ") && said.contains(": done\n"),
            "{said}"
        );
        let (_, said) = place.run(Command::Install).unwrap();
        assert!(said.contains(": nothing to do\n"), "{said}");

        let (_, said) = place.run(Command::Renew).unwrap();
        assert!(
            said.contains("staysigned ca install") && said.contains("ca.pem.old"),
            "{said}"
        );
        let (_, said) = place.run(Command::Install).unwrap();
        assert!(said.contains(", the old staysigned CA "), "{said}");
        assert_eq!(place.installed(), 1);
        assert!(!place.folder.path().join("certs/ca.pem.old").exists());

        // Renewed twice, and the first one is still installed.
        place.run(Command::Renew).unwrap();
        place.run(Command::Renew).unwrap();
        assert_eq!(place.installed(), 1);
        place.run(Command::Install).unwrap();
        assert_eq!(place.installed(), 1);
        place.run(Command::Renew).unwrap();
        place.run(Command::Renew).unwrap();
        place.run(Command::Uninstall).unwrap();
        assert_eq!(place.installed(), 0);
    }

    #[test]
    fn a_renewal_says_who_signs_with_the_old_one() {
        let place = Place::new();
        place.run(Command::Path).unwrap();
        for (told, word, not) in [
            (Told::Nobody, "kill -HUP", "from now on"),
            (Told::Taken, "signs with it from now on", "the old one:"),
            (
                Told::Refused("no disk".into()),
                "still signs with the old one: no disk",
                "from now on",
            ),
        ] {
            let (_, said) = place.run_beside(Command::Renew, told).unwrap();
            assert!(said.contains(word) && !said.contains(not), "{said}");
        }
    }

    #[test]
    fn what_is_left_to_do_is_no_success() {
        let place = Place::new();
        fs::remove_dir(place.folder.path().join("usr/local/share/ca-certificates")).unwrap();
        let (ended, said) = place.run(Command::Install).unwrap();
        assert_eq!(ended, Ended::InPart);
        assert!(said.contains("system: failed: "), "{said}");
    }
}
