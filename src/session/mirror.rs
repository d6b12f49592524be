//! `export`: a file with the session's cookies, kept up to date for tools that cannot use a proxy.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::Session;
use crate::{
    export::{self, file},
    jar::Jar,
    rule::Export,
};

/// What changes within this time is written at once.
const TOGETHER: Duration = Duration::from_millis(20);

/// For its owner, who is not to write what will be replaced.
const MODE: u32 = 0o400;

/// One at a time: a session that retires must not write after its successor.
static WRITING: Mutex<()> = Mutex::new(());

/// Keeps the file up to date until the session, or all of them, end.
pub(super) async fn mirror(session: Weak<Session>, stop: CancellationToken) {
    let Some(mut moved) = session.upgrade().map(|session| session.moved.subscribe()) else {
        return;
    };
    let mut written: Option<Arc<Jar>> = None;
    let mut said = false;
    loop {
        let last = stop.is_cancelled();
        moved.look();
        let Some(session) = session.upgrade() else {
            return;
        };
        let jar = Arc::clone(&session.inner().held.jar);
        if !written.as_ref().is_some_and(|old| Arc::ptr_eq(old, &jar)) {
            let id = session.id.clone();
            let wrote = tokio::task::spawn_blocking(move || session.write_export()).await;
            match wrote.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(()) => {
                    written = Some(jar);
                    said = false;
                }
                Err(error) if !said => {
                    tracing::warn!(session = %id, %error, "the exported file was not written");
                    said = true;
                }
                Err(_) => {}
            }
        }
        if last {
            return;
        }
        // Whatever it is that stops it: what changed until then is written.
        let changed = async {
            moved.changed().await;
            tokio::time::sleep(TOGETHER).await;
        };
        let _ = stop.run_until_cancelled(changed).await;
    }
}

// === impl Session ===

impl Session {
    fn write_export(&self) -> io::Result<()> {
        let Some(Export { to, file }) = &self.definition.recipe.export else {
            return Ok(());
        };
        let kind = to.parse().map_err(io::Error::other)?;
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        if self.successor.get().is_some() {
            return Ok(());
        }
        let (grant, jar) = {
            let inner = self.inner();
            (Arc::clone(&inner.held.grant), Arc::clone(&inner.held.jar))
        };
        let cookies: Vec<_> = jar.iter(self.shared.env.wall()).collect();
        match export::write(kind, &cookies, &grant) {
            Ok(text) => file::replace(file, text.text.expose(), MODE),
            // What is forgotten here is not to be found there.
            Err(_) => match std::fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }
}
