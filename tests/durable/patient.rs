//! A proxy with a session, whose disk becomes bad.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{with, world};
use crate::support::{
    authority::Authority,
    by,
    client::{Answer, eventually},
    oauth::Policy,
    origin::Origin,
    proxy::Proxy,
    tool,
};

/// Within this the session is as before.
pub const WELL: Duration = Duration::from_secs(30);

/// What is noted behind a rotation is written within milliseconds.
const REST: Duration = Duration::from_millis(300);

/// A proxy that may spend its refresh tokens once.
pub struct Patient {
    pub authority: Authority,
    pub site: Origin,
    pub proxy: Proxy,
}

// === impl Patient ===

impl Patient {
    pub async fn new() -> Self {
        let mut patient = Self::prepare().await;
        patient.proxy.start().await;
        patient.get().await.expect(200);
        patient
    }

    /// The same without a process.
    pub async fn prepare() -> Self {
        let (authority, site, pair) = world(Policy::lifetime(600.0)).await;
        let proxy = with(&site, &pair, "cooldown = \"0s\"")
            // The first waits for another attempt are below two seconds: the second one begins within this.
            .config("[limits]\nrefresh_wait = \"4s\"")
            .prepare();
        Self {
            authority,
            site,
            proxy,
        }
    }

    pub async fn get(&self) -> Answer {
        self.proxy.client().get(&self.site.url("/echo")).await
    }

    pub fn granted(&self) -> u64 {
        self.authority.with(|oauth| oauth.counts.granted)
    }

    pub async fn refresh_by_hand(&self) {
        let output = tokio::task::block_in_place(|| self.proxy.cli(&["refresh", "app"]));
        assert!(output.status.success(), "{output:?}");
    }

    pub fn lock_file(&self) -> PathBuf {
        let folder = self.proxy.path().join("staysigned.db.locks");
        let files = std::fs::read_dir(folder).unwrap();
        let mut files = files.map(|file| file.unwrap().path());
        // The session's own has its hash for a name.
        let is_hash = |path: &PathBuf| path.file_stem().is_some_and(|name| name.len() == 32);
        files.find(is_hash).expect("a lock file")
    }

    /// The generation that the store has.
    pub fn stored(&self) -> Value {
        let text = std::fs::read_to_string(self.proxy.path().join("config.toml")).unwrap();
        // Without an admin side to ask it looks into the store itself.
        let admin = format!("admin = \"{}\"", self.proxy.admin);
        let text = text.replace(&admin, "admin = \"off\"");
        std::fs::write(self.proxy.path().join("store.toml"), text).unwrap();
        // The disk may be one that only the proxy has.
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.proxy.pid().to_string()]);
        let status = self.proxy.command_for("store.toml", &["status", "--json"]);
        let output = tool::output(&mut by(command, &status));
        assert!(output.status.success(), "{output:?}");
        let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        status["sessions"][0]["generation"].clone()
    }

    /// Nothing was written to the store for a while: what is asked of the disk next belongs to what is asked for next.
    pub async fn rests(&self) {
        let log = self.proxy.path().join("staysigned.db-wal");
        eventually("nothing is written", WELL, || {
            let written = std::fs::metadata(&log).and_then(|file| file.modified());
            let since = written.expect("the log of the store").elapsed();
            // The clock of the files may be a tick behind ours, and never ahead of it for long.
            (since.unwrap_or_default() > REST).then_some(())
        })
        .await;
    }

    /// The disk is well: requests are answered, and all is stored.
    pub async fn recovers(&self, what: &str) {
        let begun = Instant::now();
        while self.get().await.status != 200 {
            assert!(
                begun.elapsed() < WELL,
                "{what}: {:?}",
                self.proxy.status("app")
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        eventually(what, WELL, || {
            let status = self.proxy.status("app");
            // One that is under way has still to end.
            let is_fresh = status["state"] == "fresh" && status["message"].is_null();
            (is_fresh && self.stored() == status["generation"]).then_some(())
        })
        .await;
    }

    pub async fn survives_a_kill(&mut self) {
        let granted = self.granted();
        self.proxy.kill();
        self.proxy.start().await;
        self.get().await.expect(200);
        let (counts, repeated) = self.authority.with(|oauth| (oauth.counts, oauth.repeated));
        assert_eq!(counts.granted, granted, "what was learnt is stored");
        assert_eq!(
            (counts.refused, repeated, counts.families_revoked),
            (0, 0, 0)
        );
    }
}
