//! Where the admin side of a running proxy is found: as configured, or, where the system chose the port, by a file in
//! the state folder.
//!
//! The file is no secret, and nobody is believed for standing in it: the proxy proves that it has the token.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::config::Listen;

/// The file, as long as the proxy runs.
#[derive(Debug)]
pub struct Written {
    path: PathBuf,
    text: String,
}

/// Returns where the admin side is reached that is configured so, if that can be known.
pub fn find(configured: &Listen, state: &Path) -> Option<Listen> {
    if !is_chosen(configured) {
        return Some(configured.clone());
    }
    let text = fs::read_to_string(file(state)).ok()?;
    Some(Listen::Tcp(text.trim().parse().ok()?))
}

/// Writes down where it listens if its configuration does not say so.
pub fn write(configured: &Listen, bound: &Listen, state: &Path) -> io::Result<Option<Written>> {
    if !is_chosen(configured) {
        return Ok(None);
    }
    let (path, text) = (file(state), format!("{bound}\n"));
    // Written whole: a command may be reading it.
    let new = path.with_extension(format!("address.{}", std::process::id()));
    fs::write(&new, &text)?;
    fs::rename(&new, &path)?;
    Ok(Some(Written { path, text }))
}

fn is_chosen(listen: &Listen) -> bool {
    matches!(listen, Listen::Tcp(address) if address.port() == 0)
}

fn file(state: &Path) -> PathBuf {
    state.join("admin.address")
}

// === impl Written ===

impl Drop for Written {
    fn drop(&mut self) {
        // Another proxy with this state folder may have written its own since.
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            drop(fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_port_is_found_while_the_proxy_runs() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        let at = |port: u16| Listen::Tcp(([127, 0, 0, 1], port).into());
        assert_eq!(find(&at(7), state), Some(at(7)));
        assert!(write(&at(7), &at(7), state).unwrap().is_none());
        assert_eq!(find(&at(0), state), None);

        let first = write(&at(0), &at(7001), state).unwrap();
        assert_eq!(find(&at(0), state), Some(at(7001)));
        let second = write(&at(0), &at(7002), state).unwrap();
        drop(first);
        assert_eq!(find(&at(0), state), Some(at(7002)), "it is another's");
        drop(second);
        assert_eq!(find(&at(0), state), None);
        assert_eq!(fs::read_dir(state).unwrap().count(), 0);
    }
}
