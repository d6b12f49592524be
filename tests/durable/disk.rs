//! Disks that fail in the middle of a rotation, and are well again: EIO, ENOSPC and EACCES at each of its writes.
//!
//! In each case the refresh does not start, or what it brought is kept; the state says why; and once the disk is well
//! all goes on without a restart.

use futures_util::future::join_all;

use super::patient::Patient;
use crate::support::strace::{Strace, Thread, Whom};

/// What is asked of the disk, by the thread that writes the store.
const DISK: &str = "pwrite64,fsync,fdatasync,ftruncate,fallocate";

/// Each kind by itself, as strace counts them, with how many there are: more than a rotation and what is noted behind
/// it asks for.
const CALLS: [(&str, usize); 3] = [("pwrite64", 24), ("fsync", 4), ("fdatasync", 2)];

const ERRORS: [&str; 3] = ["EIO", "ENOSPC", "EACCES"];

/// What a bad disk has done to a refresh.
struct Seen {
    /// It was not started, at least once.
    stopped: bool,
    /// The calls of the traced thread.
    calls: Vec<String>,
}

/// Each error at each call, for that call alone and from there on.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_at_any_write_loses_nothing() {
    let every = std::env::var_os("STAYSIGNED_EVERY_CALL").is_some();
    let patients = ERRORS.into_iter().enumerate().map(async |(number, error)| {
        let mut patient = Patient::new().await;
        let writer = store_thread();
        for (kind, calls) in CALLS {
            let mut stopped = Vec::new();
            for call in 1..=calls {
                // A disk that stays bad is much the same whatever it says.
                let on = every || call % ERRORS.len() == number;
                for when in [Some(format!("{call}")), on.then(|| format!("{call}+"))]
                    .into_iter()
                    .flatten()
                {
                    let inject = format!("inject={kind}:error={error}:when={when}");
                    let options = ["-e", &format!("trace={DISK}"), "-e", &inject];
                    let whom = Whom::One(patient.proxy.pid(), writer.clone());
                    patient.rests().await;
                    let seen = rejected(&patient, &whom, &options, &inject).await;
                    assert_eq!(
                        seen.stopped,
                        before_the_journal(&seen.calls),
                        "{inject}: {:#?}",
                        seen.calls
                    );
                    assert!(is_mended(&seen.calls), "{inject}: {:#?}", seen.calls);
                    if seen.stopped {
                        stopped.push(call);
                    }
                }
            }
            stopped.dedup();
            println!("{error} at {kind}: no refresh at {stopped:?} of {calls}");
            // What is written until the journal is on the disk, without a gap; and its fsync, the first there is.
            let last = stopped.len();
            assert_eq!(stopped, (1..=last).collect::<Vec<_>>(), "{error} at {kind}");
            let expected = match kind {
                "pwrite64" => last > 5 && calls - last > 5,
                "fsync" => last == 1,
                _ => last == 0,
            };
            assert!(expected, "{error} at {kind}: {stopped:?}");
        }
        patient.survives_a_kill().await;
    });
    join_all(patients).await;
}

/// Whether a call failed before the journal of what is spent was on the disk, and for it: what was written earlier is
/// synced by fdatasync(2), half a second later.
fn before_the_journal(calls: &[String]) -> bool {
    let is_ours = |call: &String| call.contains("(INJECTED)") && !call.starts_with("fdatasync(");
    let injected = calls.iter().position(is_ours);
    let synced = |call: &String| call.starts_with("fsync(") && call.ends_with("= 0");
    let journal = calls.iter().position(synced).unwrap_or(usize::MAX);
    injected.is_some_and(|injected| injected < journal)
}

/// Whether nothing was called durable behind what could not be synced, before all of the log was brought into the
/// database: the next sync is the one with which that begins, and the database is written right behind it. What nobody
/// was promised may be written before (`src/store/sqlite/writer.rs`).
fn is_mended(calls: &[String]) -> bool {
    let is_sync = |call: &&String| call.starts_with("fsync(") || call.starts_with("fdatasync(");
    let torn =
        |call: &&[String]| call[0].contains("(INJECTED)") && call[0].starts_with("fdatasync(");
    let behind = (0..calls.len()).map(|at| &calls[at..]).filter(torn);
    let mut behind = behind.map(|calls| calls[1..].iter().skip_while(|call| !is_sync(call)));
    behind.all(|mut calls| {
        let (Some(sync), Some(next)) = (calls.next(), calls.next()) else {
            return true;
        };
        let (log, written) = (file_of(sync), file_of(next));
        sync.starts_with("fsync(") && next.starts_with("pwrite64(") && log != written
    })
}

/// The descriptor that a call is about.
fn file_of(call: &str) -> &str {
    let arguments = call.split_once('(').map_or("", |(_, arguments)| arguments);
    arguments.split([',', ')']).next().unwrap_or_default()
}

/// The right to refresh is a file too: that it cannot be opened, locked or written is no loss either.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_file_that_fails_loses_nothing() {
    let mut patient = Patient::new().await;
    // After its first refresh the file is there.
    patient.refresh_by_hand().await;
    let lock = patient.lock_file();
    let only = lock.to_str().unwrap();
    for error in ERRORS {
        for call in ["openat", "flock", "write"] {
            let inject = format!("inject={call}:error={error}:when=1+");
            let whom = Whom::All(patient.proxy.pid());
            let options = ["-P", only, "-e", &inject];
            let seen = rejected(&patient, &whom, &options, &inject).await;
            assert!(seen.stopped, "{inject}: a refresh without the right to it");
        }
    }
    patient.survives_a_kill().await;
}

/// A grant that is still good serves while the disk is bad, and `refresh` says what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn the_old_grant_serves_while_the_disk_is_bad() {
    let mut patient = Patient::new().await;
    for error in ERRORS {
        let granted = patient.granted();
        let inject = format!("inject={DISK}:error={error}:when=1+");
        let whom = Whom::One(patient.proxy.pid(), store_thread());
        let log = patient.proxy.path().join("disk.strace");
        let strace = Strace::attach(&whom, &["-e", &inject], &log).await;
        let output = tokio::task::block_in_place(|| patient.proxy.cli(&["refresh", "app"]));
        assert_eq!(output.status.code(), Some(1), "{error}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("staysigned.db"), "{error}: {said}");
        for _ in 0..3 {
            patient.get().await.expect(200);
        }
        let status = patient.proxy.status("app");
        // Or it is just tried again, in vain.
        let failed = status["state"] == "degraded" || status["state"] == "refreshing";
        assert!(failed, "{error}: {status}");
        assert_eq!(status["valid"], true, "{error}: {status}");
        assert_eq!(patient.granted(), granted, "{error}: nothing was spent");
        strace.detach().await;
        patient.recovers(error).await;
    }
    patient.survives_a_kill().await;
}

/// A request is rejected while the disk is bad. A call that fails once costs it nothing: the next attempt is waited for.
async fn rejected(patient: &Patient, whom: &Whom, options: &[&str], what: &str) -> Seen {
    let once = options.iter().all(|option| !option.ends_with('+'));
    let granted = patient.granted();
    let logged = patient.proxy.log().len();
    let log = patient.proxy.path().join("disk.strace");
    let strace = Strace::attach(whom, options, &log).await;
    patient.authority.with(|oauth| oauth.revoke_all_access());
    let answer = patient.get().await;
    let spent = patient.granted() - granted;
    let status = patient.proxy.status("app");
    let stopped = patient.proxy.log()[logged..].contains("the refresh was not started");
    let what = format!("{what}: {spent} refreshes, {status}");
    assert_eq!(status["requires_login"], false, "{what}");
    if stopped && !once {
        // What could not be known to be kept was not asked for, and that is said.
        answer.expect(401);
        assert_eq!(spent, 0, "{what}");
        let error = status["last_error"].as_str().unwrap_or_default();
        assert!(error.contains("staysigned.db"), "{what}");
    } else {
        assert_eq!(answer.status, 200, "{what}");
        assert_eq!(spent, 1, "{what}");
        let message = status["message"].as_str().unwrap_or_default();
        if !message.contains("in memory only") {
            assert_eq!(patient.stored(), status["generation"], "{what}");
        }
    }
    let calls = strace.detach().await;
    patient.recovers(&what).await;
    Seen { stopped, calls }
}

fn store_thread() -> Thread {
    Thread {
        name: "store".to_owned(),
        number: 0,
    }
}
