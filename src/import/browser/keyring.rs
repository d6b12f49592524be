//! The password with which Chromium seals cookies, asked from the desktop by the desktop's own programs.

use std::{
    ffi::OsStr,
    io::Read as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::Browser;
use crate::secret::Secret;

/// No password is longer.
const LARGEST: u64 = 4096;

/// Whom to ask for passwords.
#[derive(Clone, Debug)]
pub enum Keyring {
    /// The desktop, whose user has so long to unlock it.
    Desktop(Duration),
    /// Nobody.
    None,
    /// The programs of a folder, in place of the desktop's.
    #[cfg(test)]
    In(PathBuf),
}

/// A browser by its entries in keyrings.
struct Entry {
    /// Secret Service: the value of `application`.
    applications: &'static [&'static str],
    /// KWallet: the folder `… Keys` and the entry `… Safe Storage`; also the keychain's service.
    title: &'static str,
}

// === impl Keyring ===

impl Keyring {
    /// Returns every password that may be the browser's, the likeliest first.
    pub(super) fn passwords(&self, browser: Browser, mac: bool) -> Vec<Secret> {
        let (patience, folder) = match self {
            Self::Desktop(patience) => (*patience, PathBuf::new()),
            Self::None => return Vec::new(),
            #[cfg(test)]
            Self::In(folder) => (Duration::from_secs(60), folder.clone()),
        };
        let deadline = Instant::now() + patience;
        let ask = |program: &str, arguments: &[&str]| {
            ask(folder.join(program).as_ref(), arguments, deadline)
        };
        let Entry {
            applications,
            title,
        } = entry(browser, mac);
        let storage = format!("{title} Safe Storage");
        if mac {
            let arguments = ["find-generic-password", "-w", "-s", &storage];
            return ask("security", &arguments).into_iter().collect();
        }
        let mut found: Vec<Secret> = Vec::new();
        for application in applications {
            for version in ["v2", "v1"] {
                let schema = format!("chrome_libsecret_os_crypt_password_{version}");
                let arguments = ["lookup", "xdg:schema", &schema, "application", application];
                found.extend(ask("secret-tool", &arguments));
            }
        }
        if found.is_empty() {
            let folder = format!("{title} Keys");
            let arguments = ["-f", &folder, "-r", &storage, "kdewallet"];
            // What it says when there is no such entry goes to its standard output, too.
            found.extend(
                ask("kwallet-query", &arguments).filter(|text| !text.expose().contains(' ')),
            );
        }
        found.dedup();
        found
    }
}

fn entry(browser: Browser, mac: bool) -> Entry {
    let (applications, title): (&[&str], _) = match browser {
        Browser::Chrome => (&["chrome"], "Chrome"),
        Browser::Brave => (&["brave"], "Brave"),
        Browser::Vivaldi if mac => (&[], "Vivaldi"),
        Browser::Vivaldi => (&["vivaldi", "chrome"], "Chrome"),
        Browser::Edge if mac => (&[], "Microsoft Edge"),
        Browser::Edge => (&["microsoft-edge", "chromium"], "Chromium"),
        Browser::Opera if mac => (&[], "Opera"),
        Browser::Opera => (&["opera", "chromium"], "Chromium"),
        Browser::Chromium | Browser::Firefox => (&["chromium"], "Chromium"),
    };
    Entry {
        applications,
        title,
    }
}

/// Runs a program that prints a password; `None` if it does not.
fn ask(program: &OsStr, arguments: &[&str], deadline: Instant) -> Option<Secret> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let (done, output) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        let read = stdout.take(LARGEST).read_to_end(&mut bytes);
        // Nobody waits for it any more: it was too slow.
        let _ = done.send(read.map(|_| bytes));
    });
    let left = deadline.saturating_duration_since(Instant::now());
    let output = output.recv_timeout(left);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if output.is_ok() && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let bytes = output.ok()?.ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    (status.success() && !text.is_empty()).then(|| Secret::from(text))
}
