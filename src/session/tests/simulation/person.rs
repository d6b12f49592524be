//! Somebody who signs in again, whatever is under way: at a running process, or by a command beside it.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{
    judge::LOST,
    life::Life,
    process::{COMMAND, Process},
};
use crate::session::Material;

/// A store that takes nothing is tried again so often.
const TRIES: usize = 60;
const AGAIN: Duration = Duration::from_secs(2);

/// Waiting for a suspended process ends.
const PATIENCE: Duration = Duration::from_secs(60);

impl Life {
    /// In most cases if the session is lost, and seldom if it is not.
    pub(super) async fn somebody_may_sign_in(&mut self) {
        let is_revoked = self.world.inner().server.revoked;
        let Some(person) = &mut self.person else {
            return;
        };
        if person.below(if is_revoked { 2 } else { 12 }) > 0 {
            return;
        }
        let by = person.below(3) as usize;
        let material = self.sign_in();
        for _ in 0..TRIES {
            if self.put_in(by, material.clone()).await {
                let mut inner = self.world.inner();
                inner.signed_in = inner.server.login;
                return;
            }
            sleep(AGAIN).await;
        }
        self.world.wrong("nobody can sign in any more".to_owned());
    }

    /// What there was before is at its end, and judged.
    fn sign_in(&self) -> Material {
        if self.world.inner().is_lost() {
            self.world.wrong(LOST.to_owned());
        }
        let now = self.world.now();
        let (pair, lifetime) = {
            let mut inner = self.world.inner();
            let inner = &mut *inner;
            inner.revoked_by = None;
            inner.unsavable = false;
            // Who was refused before may hear of it just now.
            inner.trouble = Some(now);
            (inner.server.sign_in(now), inner.server.lifetime)
        };
        self.world.note(|| format!("somebody signs in: {pair:?}"));
        let fields = [
            ("access_token", format!("at-{}", pair.access)),
            ("refresh_token", format!("rt-{}", pair.refresh)),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.into()));
        Material {
            fields: fields.into(),
            expires_at: Some(self.env.wall() + lifetime),
            ..Material::default()
        }
    }

    async fn put_in(&self, by: usize, material: Material) -> bool {
        let told = match self.processes.get(by) {
            Some(Some(process)) => timeout(PATIENCE, process.session.put_material(material)).await,
            Some(None) | None => {
                let store = self.handles[COMMAND].clone();
                let command = Process::start(COMMAND, &self.world, store, &self.env, &self.recipe);
                let command = command.await;
                let told = timeout(PATIENCE, command.session.put_material(material)).await;
                command.crash();
                told
            }
        };
        let stored = matches!(told, Ok(Ok(_)));
        self.world
            .note(|| format!("process {by}: the login is stored: {stored}"));
        stored
    }
}
