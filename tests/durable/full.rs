//! A disk that is really full, and a store that another process keeps locked for seconds.

use std::{
    fs::File,
    io::Write as _,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use serde_json::Value;

use super::patient::Patient;
use crate::support::{
    by,
    client::{Answer, eventually},
};

/// How long the token endpoint takes where something happens meanwhile.
const CALL: Duration = Duration::from_millis(800);

/// A file system of four megabytes: the program's own, gone with it.
const MOUNT: &str = "mount -t tmpfs -o size=4m,mode=700 staysigned disk && exec \"$0\" \"$@\"";

/// What is kept from being written for a while.
trait Trouble {
    fn begin(&mut self);
    fn end(&mut self);
    /// What the status says of it.
    fn says(&self) -> &'static str;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing() {
    let mut patient = Patient::prepare().await;
    std::fs::create_dir(patient.proxy.path().join("disk")).unwrap();
    let elsewhere =
        |text: String| text.replace("sqlite:staysigned.db", "sqlite:disk/staysigned.db");
    patient.proxy.edit(elsewhere);
    let serve = patient.proxy.command(&["serve"]);
    let mut command = Command::new("unshare");
    // Only root may mount; others may where the system lets them be root of a namespace of their own.
    let namespace = if rustix::process::geteuid().is_root() {
        "-m"
    } else {
        "-rm"
    };
    command.args([namespace, "sh", "-c", MOUNT]);
    patient.proxy.start_as(by(command, &serve)).await;
    patient.get().await.expect(200);
    let root = format!("/proc/{}/root", patient.proxy.pid());
    let disk = patient.proxy.path().join("disk");
    let disk = PathBuf::from(format!("{root}{}", disk.display()));
    assert!(disk.join("staysigned.db").exists(), "{}", disk.display());
    let full = Full(disk.join("filler"));
    goes_through(&patient, full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_locked_for_seconds_loses_nothing() {
    let mut patient = Patient::new().await;
    let path = patient.proxy.path().join("staysigned.db");
    let locked = Locked(Connection::open(path).unwrap());
    goes_through(&patient, locked).await;
    patient.survives_a_kill().await;
}

async fn goes_through(patient: &Patient, mut trouble: impl Trouble) {
    // What is good serves; nothing is spent whose successor might find no place.
    patient.refresh_by_hand().await;
    trouble.begin();
    patient.get().await.expect(200);
    patient.authority.with(|oauth| oauth.revoke_all_access());
    patient.get().await.expect(401);
    assert_eq!(patient.granted(), 1);
    let status = said(
        patient,
        |status| status["last_error"].clone(),
        trouble.says(),
    )
    .await;
    assert_eq!(status["requires_login"], false, "{status}");
    trouble.end();
    patient.recovers("a refresh that did not start").await;
    assert_eq!(patient.granted(), 2);

    // It comes between the call and its answer: what was obtained is kept, in memory first.
    patient.authority.delay(CALL);
    patient.authority.with(|oauth| oauth.revoke_all_access());
    let calls = || {
        patient
            .site
            .seen()
            .iter()
            .filter(|seen| seen.path == "/token")
            .count()
    };
    let before = calls();
    let (answer, ()) = tokio::join!(patient.get(), async {
        eventually("the call", CALL, || (calls() > before).then_some(())).await;
        trouble.begin();
    });
    let _: Answer = answer.expect(200);
    patient.authority.delay(Duration::ZERO);
    let status = said(
        patient,
        |status| status["message"].clone(),
        "in memory only",
    )
    .await;
    assert_eq!(status["valid"], true, "{status}");
    // As long as it is there alone, nothing more is spent.
    patient.authority.with(|oauth| oauth.revoke_all_access());
    patient.get().await.expect(401);
    assert_eq!(patient.granted(), 3);
    trouble.end();
    patient.recovers("a grant that was in memory only").await;
    assert_eq!(patient.granted(), 4);
    let (counts, repeated) = patient
        .authority
        .with(|oauth| (oauth.counts, oauth.repeated));
    assert_eq!(
        (counts.refused, repeated, counts.families_revoked),
        (0, 0, 0)
    );
}

/// Waits until a part of the status has these words.
async fn said(patient: &Patient, part: impl Fn(&Value) -> Value, words: &str) -> Value {
    eventually(words, Duration::from_secs(20), || {
        let status = patient.proxy.status("app");
        let part = part(&status);
        part.as_str()
            .is_some_and(|text| text.contains(words))
            .then_some(status)
    })
    .await
}

/// A file that takes all the room there is.
struct Full(PathBuf);

impl Trouble for Full {
    fn begin(&mut self) {
        let mut file = File::create(&self.0).unwrap();
        let begun = Instant::now();
        while file.write_all(&[1; 4096]).is_ok() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "it does not get full"
            );
        }
    }

    fn end(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }

    fn says(&self) -> &'static str {
        "full"
    }
}

/// A process that writes and does not come to an end.
struct Locked(Connection);

impl Trouble for Locked {
    fn begin(&mut self) {
        self.0.busy_timeout(Duration::from_secs(20)).unwrap();
        self.0.execute_batch("BEGIN IMMEDIATE").unwrap();
    }

    fn end(&mut self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }

    fn says(&self) -> &'static str {
        "locked"
    }
}
