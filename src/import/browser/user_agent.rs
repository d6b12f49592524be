//! The `User-Agent` of a browser, made of its version: none of its files has it as it is sent. Browsers have frozen all
//! the rest of it.

use super::{Browser, copy, profile::Profile};

/// Returns what the browser of a profile sends; `None` where its version does not say it.
pub(super) fn of(browser: Browser, profile: &Profile, mac: bool) -> Option<String> {
    match browser {
        Browser::Firefox => {
            let text = text(&profile.folder.join("compatibility.ini"))?;
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("LastVersion="))?;
            Some(firefox(major(line)?, mac, std::env::consts::ARCH))
        }
        // Their versions are their own, not those of the Chromium in them.
        Browser::Opera | Browser::Vivaldi => None,
        _ => {
            let folder = profile.folder.parent()?;
            Some(chromium(
                browser,
                major(&text(&folder.join("Last Version"))?)?,
                mac,
            ))
        }
    }
}

fn firefox(major: u32, mac: bool, arch: &str) -> String {
    let system = match mac {
        true => "Macintosh; Intel Mac OS X 10.15".to_owned(),
        false => format!("X11; Linux {arch}"),
    };
    format!("Mozilla/5.0 ({system}; rv:{major}.0) Gecko/20100101 Firefox/{major}.0")
}

fn chromium(browser: Browser, major: u32, mac: bool) -> String {
    let system = match mac {
        true => "Macintosh; Intel Mac OS X 10_15_7",
        false => "X11; Linux x86_64",
    };
    let end = match browser {
        Browser::Edge => format!(" Edg/{major}.0.0.0"),
        _ => String::new(),
    };
    format!(
        "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Safari/537.36{end}"
    )
}

/// Reads the number before the first point; versions whose `User-Agent` was another are none.
fn major(version: &str) -> Option<u32> {
    let (major, _) = version.trim().split_once('.')?;
    major.parse().ok().filter(|major| *major >= 120)
}

fn text(path: &std::path::Path) -> Option<String> {
    String::from_utf8(copy::read(path).ok()?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_say_what_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("Default");
        std::fs::create_dir(&folder).unwrap();
        let profile = Profile {
            database: folder.join("Cookies"),
            folder,
        };
        let said = |browser| of(browser, &profile, false);
        let root = profile.folder.parent().unwrap();
        for (text, browser, expected) in [
            (
                "140.0.7339.80\n",
                Browser::Chrome,
                Some("Chrome/140.0.0.0 Safari/537.36"),
            ),
            (
                "140.1.82.165",
                Browser::Brave,
                Some("Chrome/140.0.0.0 Safari/537.36"),
            ),
            (
                "140.0.3485.54",
                Browser::Edge,
                Some("Safari/537.36 Edg/140.0.0.0"),
            ),
            ("123.0.5669.0", Browser::Opera, None),
            ("99.0.1.1", Browser::Chrome, None),
            ("no version", Browser::Chrome, None),
        ] {
            std::fs::write(root.join("Last Version"), text).unwrap();
            let found = said(browser);
            assert_eq!(found.is_some(), expected.is_some(), "{text}");
            assert!(
                expected.is_none_or(|end| found.unwrap().ends_with(end)),
                "{text}"
            );
        }
        assert_eq!(said(Browser::Firefox), None);
        let ini = "[Compatibility]\nLastVersion=140.3.1_20250922/20250922\n";
        std::fs::write(profile.folder.join("compatibility.ini"), ini).unwrap();
        assert!(
            said(Browser::Firefox)
                .unwrap()
                .ends_with("rv:140.0) Gecko/20100101 Firefox/140.0")
        );
    }
}
