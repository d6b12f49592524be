//! A holder that was stopped.

use super::*;

const SUSPENDED: Duration = Duration::from_secs(30);
const PULSE: Duration = Duration::from_secs(5);

/// The lock of a process that was stopped: held, and without a pulse.
#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_suspended_holder_loses_the_lease_once() {
    let dir = tempfile::tempdir().unwrap();
    let id = SessionId::new("a", None);
    let path = dir.path().join(file_name(&id, ""));
    let stopped = open(&path).unwrap();
    stopped.lock().unwrap();
    let started = Instant::now();
    let folder = Folder {
        path: dir.path().into(),
        suspended: SUSPENDED,
    };
    let (one, two) = (
        Leases::in_folder(folder.clone()).unwrap(),
        Leases::in_folder(folder).unwrap(),
    );
    let (first, second) = (
        async {
            let lease = one.lease(&id, 0, SUSPENDED).await.unwrap();
            let taken = started.elapsed();
            assert!(lease.is_held());
            sleep(2 * SUSPENDED).await;
            assert!(lease.is_held(), "its pulse keeps it");
            drop(lease);
            taken
        },
        async {
            let lease = two.lease(&id, 0, SUSPENDED).await.unwrap();
            let taken = started.elapsed();
            assert!(lease.is_held());
            sleep(2 * SUSPENDED).await;
            drop(lease);
            taken
        },
    );
    let (a, b) = tokio::join!(first, second);
    assert!(a.min(b) >= SUSPENDED && a.min(b) < SUSPENDED + PULSE);
    assert!(a.max(b) >= a.min(b) + 2 * SUSPENDED, "one after the other");
    assert!(!is_at(&stopped, &path).unwrap());
}
