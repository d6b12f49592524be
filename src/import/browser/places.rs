//! Where browsers keep their profiles.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::Browser;

/// The folders that browsers and we look at.
#[derive(Clone, Debug)]
pub struct Places {
    home: PathBuf,
    /// `$XDG_CONFIG_HOME`.
    config: PathBuf,
    /// Where copies lie for a moment, best first.
    temporary: Vec<PathBuf>,
    mac: bool,
}

// === impl Places ===

impl Places {
    /// Returns the places of this process's user.
    pub fn of_process() -> Self {
        Self::of(|name| std::env::var_os(name))
    }

    /// As [`of_process`](Self::of_process), for another environment.
    pub fn of(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name: &str| {
            let value = variable(name).filter(|value| !value.is_empty())?;
            Some(PathBuf::from(value)).filter(|path| path.is_absolute())
        };
        let home = path("HOME").unwrap_or_else(|| PathBuf::from("/"));
        // The first two are memory, not disk.
        let memory = ["/dev/shm"].map(PathBuf::from);
        let mut temporary: Vec<_> = path("XDG_RUNTIME_DIR").into_iter().chain(memory).collect();
        temporary.push(path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp")));
        Self {
            config: path("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
            home,
            temporary,
            mac: cfg!(target_os = "macos"),
        }
    }

    /// The same home on a Mac.
    #[cfg(test)]
    pub(super) fn on_mac(self) -> Self {
        Self { mac: true, ..self }
    }

    pub(super) fn is_mac(&self) -> bool {
        self.mac
    }

    pub(super) fn temporary(&self) -> impl Iterator<Item = &Path> {
        self.temporary.iter().map(PathBuf::as_path)
    }

    /// Returns the folders in which a browser keeps its profiles, those that are there and those that are not.
    pub(super) fn roots(&self, browser: Browser) -> Vec<PathBuf> {
        if self.mac {
            let support = self.home.join("Library/Application Support");
            return vec![support.join(in_support(browser))];
        }
        let Self { home, config, .. } = self;
        let app = |id: &str, rest: &str| home.join(".var/app").join(id).join(rest);
        let in_config = |names: &[&str]| names.iter().map(|name| config.join(name)).collect();
        let mut roots: Vec<PathBuf> = match browser {
            Browser::Firefox => vec![
                config.join("mozilla/firefox"),
                home.join(".mozilla/firefox"),
                home.join("snap/firefox/common/.mozilla/firefox"),
                app("org.mozilla.firefox", "config/mozilla/firefox"),
                app("org.mozilla.firefox", ".mozilla/firefox"),
            ],
            Browser::Chrome => in_config(&[
                "google-chrome",
                "google-chrome-beta",
                "google-chrome-unstable",
            ]),
            Browser::Chromium => in_config(&["chromium"]),
            Browser::Brave => in_config(&["BraveSoftware/Brave-Browser"]),
            Browser::Edge => in_config(&["microsoft-edge", "microsoft-edge-beta"]),
            Browser::Vivaldi => in_config(&["vivaldi"]),
            Browser::Opera => in_config(&["opera"]),
        };
        roots.extend(match browser {
            Browser::Firefox => None,
            Browser::Chrome => Some(app("com.google.Chrome", "config/google-chrome")),
            Browser::Chromium => Some(home.join("snap/chromium/common/chromium")),
            Browser::Brave => Some(app(
                "com.brave.Browser",
                "config/BraveSoftware/Brave-Browser",
            )),
            Browser::Edge => Some(app("com.microsoft.Edge", "config/microsoft-edge")),
            Browser::Vivaldi => Some(app("com.vivaldi.Vivaldi", "config/vivaldi")),
            Browser::Opera => Some(app("com.opera.Opera", "config/opera")),
        });
        if browser == Browser::Chromium {
            roots.push(app("org.chromium.Chromium", "config/chromium"));
        }
        roots
    }
}

fn in_support(browser: Browser) -> &'static str {
    match browser {
        Browser::Firefox => "Firefox",
        Browser::Chrome => "Google/Chrome",
        Browser::Chromium => "Chromium",
        Browser::Brave => "BraveSoftware/Brave-Browser",
        Browser::Edge => "Microsoft Edge",
        Browser::Vivaldi => "Vivaldi",
        Browser::Opera => "com.operasoftware.Opera",
    }
}
