//! Which profile of a browser is meant, and where its cookies are.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde_json::Value;

use super::{Ask, Browser, Error, copy};

/// A profile that has cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) folder: PathBuf,
    pub(super) database: PathBuf,
}

/// A profile by the names that people have for it.
#[derive(Clone, Debug)]
struct Known {
    folder: PathBuf,
    names: Vec<String>,
    /// Whether the browser starts with it; the larger number counts.
    default: u8,
}

/// Finds the profile that is asked for.
pub(super) fn find(ask: &Ask<'_>) -> Result<Profile, Error> {
    let browser = ask.browser;
    if let Some(path) = ask.profile.filter(|name| name.contains('/')) {
        return at_path(browser, Path::new(path));
    }
    let roots = ask.places.roots(browser);
    let known: Vec<Vec<Known>> = roots.iter().map(|root| known(browser, root)).collect();
    let all = || known.iter().flatten();
    if let Some(name) = ask.profile {
        let named = |profile: &&Known| profile.names.iter().any(|known| known == name);
        let found: Vec<_> = all()
            .filter(named)
            .filter_map(|known| of(browser, known))
            .collect();
        // Two installations may have profiles of one name.
        return newest(found).ok_or_else(|| Error::UnknownProfile {
            browser,
            name: name.to_owned(),
            known: match all().next() {
                Some(_) => all()
                    .filter_map(|known| known.names.first())
                    .map(|name| format!("{name:?}"))
                    .collect(),
                None => vec!["none".to_owned()],
            },
        });
    }
    // Of several installations the one that was used last; in each, the profile that it starts with.
    let defaults = known.iter().filter_map(|profiles| {
        let there = profiles
            .iter()
            .filter_map(|known| Some((known.default, of(browser, known)?)));
        let mut there: Vec<_> = there.collect();
        let best = there.iter().map(|(default, _)| *default).max()?;
        there.retain(|(default, _)| *default == best);
        newest(there.into_iter().map(|(_, profile)| profile).collect())
    });
    newest(defaults.collect()).ok_or(Error::NoProfile {
        browser,
        looked_in: roots,
    })
}

fn at_path(browser: Browser, path: &Path) -> Result<Profile, Error> {
    let is_file = path.is_file();
    let folder = match path.parent().filter(|_| is_file) {
        Some(folder) => folder.to_owned(),
        None => path.to_owned(),
    };
    let database = match is_file {
        true => Some(path.to_owned()),
        false => database(browser, path),
    };
    match database {
        Some(database) => Ok(Profile { folder, database }),
        None => Err(Error::NoProfile {
            browser,
            looked_in: vec![path.to_owned()],
        }),
    }
}

fn of(browser: Browser, known: &Known) -> Option<Profile> {
    Some(Profile {
        folder: known.folder.clone(),
        database: database(browser, &known.folder)?,
    })
}

fn database(browser: Browser, folder: &Path) -> Option<PathBuf> {
    let names: &[&str] = match browser {
        Browser::Firefox => &["cookies.sqlite"],
        _ => &["Network/Cookies", "Cookies"],
    };
    let mut paths = names.iter().map(|name| folder.join(name));
    // Whatever it is: what is wrong with it is said when it is read.
    paths.find(|path| path.exists() && !path.is_dir())
}

fn newest(profiles: Vec<Profile>) -> Option<Profile> {
    profiles.into_iter().max_by_key(|profile| {
        let mut log = profile.database.clone().into_os_string();
        log.push("-wal");
        changed(&profile.database).max(changed(log.as_ref()))
    })
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

fn known(browser: Browser, root: &Path) -> Vec<Known> {
    match browser {
        Browser::Firefox => firefox(root),
        _ => chromium(root),
    }
}

/// Reads `profiles.ini`; what an installation says that it starts with goes before what all of them do.
fn firefox(root: &Path) -> Vec<Known> {
    let Some(ini) = text(&root.join("profiles.ini")) else {
        return Vec::new();
    };
    let mut sections: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for line in ini.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            sections.push((name, Vec::new()));
        } else if let Some((key, value)) = line.split_once('=')
            && let Some((_, entries)) = sections.last_mut()
        {
            entries.push((key.trim(), value.trim()));
        }
    }
    let get = |entries: &[(&str, &str)], key: &str| {
        let found = entries.iter().find(|(name, _)| *name == key);
        found.map(|(_, value)| (*value).to_owned())
    };
    let of_installs: Vec<String> = sections
        .iter()
        .filter(|(name, _)| name.starts_with("Install"))
        .filter_map(|(_, entries)| get(entries, "Default"))
        .collect();
    let profiles = sections
        .iter()
        .filter(|(name, _)| name.starts_with("Profile"));
    profiles
        .filter_map(|(_, entries)| {
            let path = get(entries, "Path")?;
            let folder = root.join(&path);
            let last = folder.file_name()?.to_string_lossy().into_owned();
            Some(Known {
                names: get(entries, "Name").into_iter().chain([last]).collect(),
                default: if of_installs.contains(&path) {
                    2
                } else {
                    u8::from(get(entries, "Default").as_deref() == Some("1"))
                },
                folder,
            })
        })
        .collect()
}

/// Looks through the folders; `Local State` has the names that people gave, and which profile was used last.
fn chromium(root: &Path) -> Vec<Known> {
    let state = text(&root.join("Local State"));
    let state: Value = state
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let last_used = state.pointer("/profile/last_used").and_then(Value::as_str);
    let names = state.pointer("/profile/info_cache");
    let mut profiles = Vec::new();
    // Opera has one profile, and in older versions no folder for it.
    let folders = fs::read_dir(root).into_iter().flatten().flatten();
    let folders = folders.map(|entry| entry.path()).chain([root.to_owned()]);
    for folder in folders.filter(|folder| database(Browser::Chromium, folder).is_some()) {
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        // Not people's: what the browser keeps for guests and for its own pages.
        if ["System Profile", "Guest Profile"].contains(&name) {
            continue;
        }
        let shown = names
            .and_then(|names| names.get(name)?.get("name"))
            .and_then(Value::as_str);
        profiles.push(Known {
            names: [name.to_owned()]
                .into_iter()
                .chain(shown.map(str::to_owned))
                .collect(),
            default: match () {
                () if last_used == Some(name) => 2,
                () => u8::from(name == "Default"),
            },
            folder,
        });
    }
    profiles
}

fn text(path: &Path) -> Option<String> {
    let bytes = copy::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
