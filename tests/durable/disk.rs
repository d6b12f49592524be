//! Disks that fail in the middle of a rotation, and are well again: EIO, ENOSPC and EACCES at each of its writes.
//!
//! In each case the refresh does not start, or what it brought is kept; the state says why; and once the disk is well
//! all goes on without a restart.

use futures_util::future::join_all;

use super::patient::Patient;
use crate::support::strace::{Strace, Thread, Whom};

/// What is asked of the disk, by the thread that writes the store.
const DISK: &str = "pwrite64,fsync,fdatasync,ftruncate,fallocate";

/// More than a rotation and what is noted behind it asks of the disk.
const CALLS: usize = 24;

const ERRORS: [&str; 3] = ["EIO", "ENOSPC", "EACCES"];

/// How long the disk is bad.
#[derive(Clone, Copy, Debug)]
enum Bad {
    /// For one call.
    Once,
    /// From this call on until the client has its answer.
    On,
}

/// Each error at each call, for that call alone and from there on.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_at_any_write_loses_nothing() {
    let every = std::env::var_os("STAYSIGNED_EVERY_CALL").is_some();
    let patients = ERRORS.into_iter().enumerate().map(async |(number, error)| {
        let mut patient = Patient::new().await;
        let writer = store_thread();
        let mut kept = [0; 2];
        for call in 1..=CALLS {
            // A disk that stays bad is much the same whatever it says.
            let on = every || call % ERRORS.len() == number;
            for bad in [Some(Bad::Once), on.then_some(Bad::On)]
                .into_iter()
                .flatten()
            {
                let when = match bad {
                    Bad::Once => format!("{call}"),
                    Bad::On => format!("{call}+"),
                };
                let inject = format!("inject={DISK}:error={error}:when={when}");
                let what = format!("{error} {bad:?} {call}");
                let whom = Whom::One(patient.proxy.pid(), writer.clone());
                kept[usize::from(rejected(&patient, &whom, &["-e", &inject], &what).await)] += 1;
            }
        }
        println!(
            "{error}: {} times no refresh, {} times its grant was kept",
            kept[0], kept[1]
        );
        assert!(kept[0] > 0 && kept[1] > 0, "{kept:?}");
        patient.survives_a_kill().await;
    });
    join_all(patients).await;
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
            let kept = rejected(&patient, &whom, &options, &inject).await;
            assert!(!kept, "{inject}: a refresh without the right to it");
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

/// A request is rejected while the disk is bad; says whether a refresh brought a new grant all the same.
async fn rejected(patient: &Patient, whom: &Whom, options: &[&str], what: &str) -> bool {
    let once = options.iter().all(|option| !option.ends_with('+'));
    let (granted, generation) = (patient.granted(), patient.generation());
    let log = patient.proxy.path().join("disk.strace");
    let strace = Strace::attach(whom, options, &log).await;
    patient.authority.with(|oauth| oauth.revoke_all_access());
    let answer = patient.get().await;
    let spent = patient.granted() - granted;
    let status = patient.proxy.status("app");
    let what = format!("{what}: {spent} refreshes, {status}");
    assert_eq!(status["requires_login"], false, "{what}");
    match answer.status.as_u16() {
        // What could not be known to be kept was not asked for, and that is said.
        401 => {
            let error = status["last_error"].as_str().unwrap_or_default();
            let said = error.contains("staysigned.db");
            // After one failure it is tried again in a moment, and all is well.
            let healed = once && status["generation"] != generation;
            assert!(said || healed, "{what}");
            assert!(spent == 0 || once, "{what}");
        }
        200 => {
            assert_eq!(spent, 1, "{what}");
            let message = status["message"].as_str().unwrap_or_default();
            if !message.contains("in memory only") {
                assert_eq!(patient.stored(), status["generation"], "{what}");
            }
        }
        other => panic!("{other}: {what}"),
    }
    strace.detach().await;
    patient.recovers(&what).await;
    answer.status == 200
}

fn store_thread() -> Thread {
    Thread {
        name: "store".to_owned(),
        number: 0,
    }
}
