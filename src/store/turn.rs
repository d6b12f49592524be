//! The turn to send a request of a serial session: one process among all of a machine has it, and within it one task.
//!
//! The process that has it keeps it from one request to the next while no other asks, so that a process by itself pays
//! for a lock in memory and nothing else. Who wants it takes a second lock first, of which the owner has a look every
//! few milliseconds: it hands over when the request under way has its turn behind it. An owner that is idle lets go by
//! itself, one that dies loses it with its locks, one that is suspended as a [`Lease`](super::Lease) is.

use std::{
    collections::HashMap,
    fs::TryLockError,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    task::AbortHandle,
    time::{Instant, sleep},
};

use super::{
    Error, SessionId,
    lease::{Folder, Held, POLL, file_name, lockable},
};

/// An owner that sends nothing for so long lets go.
const IDLE: Duration = Duration::from_secs(1);

/// The turn to send, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    place: OwnedMutexGuard<Place>,
}

/// The turns of one store handle.
#[derive(Debug)]
pub(super) struct Turns {
    places: Arc<Mutex<Places>>,
    folder: Option<Folder>,
}

type Places = HashMap<SessionId, Arc<AsyncMutex<Place>>>;

/// A session's place in this process; who holds its mutex has the turn among tasks.
#[derive(Debug, Default)]
struct Place {
    /// That the process has it.
    owned: Option<Owned>,
    /// The handle that had the turn last, and whether it has read the store since another one had it.
    last: u64,
    read: bool,
}

#[derive(Debug)]
struct Owned {
    file: Held,
    wanted: Arc<AtomicBool>,
    /// When the lock was last seen to be ours, and when a request last had the turn.
    seen: Instant,
    used: Instant,
    watch: AbortHandle,
}

// === impl Turn ===

impl Turn {
    /// Tells whether another process, or nobody, had the turn before: the store may have news.
    pub fn is_new(&self) -> bool {
        !self.place.read
    }

    /// Notes that the store was read: nobody else sends while this process keeps the turn.
    pub fn has_read(&mut self) {
        self.place.read = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        match &mut self.place.owned {
            Some(owned) if owned.is_wanted() => self.place.owned = None,
            Some(owned) => owned.used = Instant::now(),
            None => {}
        }
    }
}

// === impl Turns ===

impl Turns {
    /// Turns among the tasks of this process alone, for several handles.
    pub(super) fn of_tasks() -> Self {
        Self {
            places: Arc::default(),
            folder: None,
        }
    }

    /// Turns among all processes that use the same folder, which is there.
    pub(super) fn in_folder(folder: Folder) -> Self {
        Self {
            folder: Some(folder),
            ..Self::of_tasks()
        }
    }

    pub(super) async fn turn(&self, id: &SessionId, handle: u64) -> Result<Turn, Error> {
        let of_session = self.place(id);
        let mut place = Arc::clone(&of_session).lock_owned().await;
        if let Some(folder) = &self.folder {
            if place.owned.as_mut().is_some_and(|owned| !owned.is_ours()) {
                place.owned = None;
            }
            if place.owned.is_none() {
                place.read = false;
                let file = take(folder, id)
                    .await
                    .map_err(|e| Error::Write(format!("{}: {e}", folder.path.display()).into()))?;
                let next = folder.path.join(next(id));
                place.owned = Some(self.own(file, next, of_session));
            }
        } else if place.last != handle {
            (place.last, place.read) = (handle, false);
        }
        Ok(Turn { place })
    }

    fn own(&self, file: Held, next: PathBuf, place: Arc<AsyncMutex<Place>>) -> Owned {
        let wanted = Arc::new(AtomicBool::new(false));
        let store = Arc::downgrade(&self.places);
        let asked = Arc::clone(&wanted);
        let watch = tokio::spawn(async move {
            loop {
                sleep(POLL).await;
                if is_locked(&next).unwrap_or(true) {
                    asked.store(true, Ordering::Release);
                }
                // Who has the turn now hands over when it ends.
                let Ok(mut place) = place.try_lock() else {
                    continue;
                };
                let kept = place.owned.as_ref().is_some_and(|owned| {
                    !owned.is_wanted() && owned.used.elapsed() < IDLE && store.strong_count() > 0
                });
                if !kept {
                    place.owned = None;
                    return;
                }
            }
        });
        let now = Instant::now();
        Owned {
            file,
            wanted,
            seen: now,
            used: now,
            watch: watch.abort_handle(),
        }
    }

    fn place(&self, id: &SessionId) -> Arc<AsyncMutex<Place>> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // Sessions come and go with the configuration and its clients. What is owned is held by its watch.
        places.retain(|_, place| self.folder.is_none() || Arc::strong_count(place) > 1);
        Arc::clone(places.entry(id.clone()).or_default())
    }
}

// === impl Owned ===

impl Owned {
    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Tells whether it may be kept: nobody asks for it, and it was not taken away during a pause.
    fn is_ours(&mut self) -> bool {
        if self.is_wanted() {
            return false;
        }
        if self.seen.elapsed() < self.file.pulse() {
            return true;
        }
        self.seen = Instant::now();
        self.file.is_there()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Waits for the turn among processes. A process that has just sent waits behind the one that is next.
async fn take(folder: &Folder, id: &SessionId) -> io::Result<Held> {
    let next = folder.acquire(&next(id)).await?;
    let held = folder.acquire(&file_name(id, "-send")).await;
    drop(next);
    held
}

fn next(id: &SessionId) -> String {
    file_name(id, "-next")
}

/// Tells whether somebody holds a lock.
fn is_locked(path: &Path) -> io::Result<bool> {
    match lockable(path)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Process {
        name: char,
        turns: Turns,
    }

    impl Process {
        fn new(name: char, folder: &Path) -> Self {
            let turns = Turns::in_folder(Folder {
                path: folder.into(),
                suspended: Duration::from_secs(30),
            });
            Self { name, turns }
        }

        async fn turn(&self) -> Turn {
            let id = SessionId::new("a", None);
            let mut turn = self.turns.turn(&id, 0).await.unwrap();
            turn.has_read();
            turn
        }

        async fn is_new(&self) -> bool {
            let id = SessionId::new("a", None);
            let mut turn = self.turns.turn(&id, 0).await.unwrap();
            let new = turn.is_new();
            turn.has_read();
            new
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_by_itself_keeps_the_turn() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Process::new('a', dir.path()), Process::new('b', dir.path()));
        assert!(one.is_new().await);
        for _ in 0..1000 {
            assert!(!one.is_new().await);
            sleep(Duration::from_millis(7)).await;
        }
        // Handed over on request, at once when no request is under way.
        let began = Instant::now();
        assert!(two.is_new().await);
        assert!(began.elapsed() <= 3 * POLL, "{:?}", began.elapsed());
        assert!(one.is_new().await, "the other may have learnt something");
        // Who is idle lets go.
        sleep(2 * IDLE).await;
        let began = Instant::now();
        assert!(two.is_new().await);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_turn_is_handed_over_when_the_request_under_way_is_through() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Process::new('a', dir.path()), Process::new('b', dir.path()));
        let turn = one.turn().await;
        let began = Instant::now();
        let (_, waited) = tokio::join!(
            async {
                sleep(Duration::from_secs(5)).await;
                drop(turn);
            },
            async {
                drop(two.turn().await);
                began.elapsed()
            }
        );
        assert!(waited >= Duration::from_secs(5), "{waited:?}");
        assert!(waited <= Duration::from_secs(5) + POLL, "{waited:?}");
    }

    /// Two busy processes with a crowd each: nobody waits for more than a few requests of the other.
    #[tokio::test(start_paused = true)]
    async fn processes_send_in_turn() {
        let dir = tempfile::tempdir().unwrap();
        let request = 6 * POLL;
        let sent = Mutex::new(Vec::new());
        let process = async |name: char| {
            let process = Process::new(name, dir.path());
            let send = async || {
                for _ in 0..10 {
                    let turn = process.turn().await;
                    sent.lock().unwrap().push(process.name);
                    sleep(request).await;
                    drop(turn);
                }
            };
            tokio::join!(send(), send(), send());
        };
        tokio::join!(process('a'), process('b'));
        let sent = sent.into_inner().unwrap();
        assert_eq!(sent.len(), 60);
        let again = sent.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(again <= 2, "{again}: {sent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Process::new('a', dir.path()), Process::new('b', dir.path()));
        let turn = one.turn().await;
        let short = Duration::from_millis(30);
        tokio::time::timeout(short, two.turn()).await.unwrap_err();
        tokio::time::timeout(short, one.turn()).await.unwrap_err();
        drop(turn);
        drop(one.turn().await);
        drop(two.turn().await);
    }

    /// A disk that can be read only, and one without room: this program cannot be written while it runs, and the device
    /// is full.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_disk_that_takes_nothing_keeps_nobody_waiting() {
        let program = std::env::current_exe().unwrap();
        let id = SessionId::new("a", None);
        for nothing in [program.as_path(), Path::new("/dev/full")] {
            let dir = tempfile::tempdir().unwrap();
            let lock = dir.path().join(file_name(&id, "-send"));
            std::os::unix::fs::symlink(nothing, lock).unwrap();
            drop(Process::new('a', dir.path()).turn().await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_closed_owns_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let one = Process::new('a', dir.path());
        drop(one.turn().await);
        drop(one);
        let two = Process::new('b', dir.path());
        let began = Instant::now();
        drop(two.turn().await);
        assert!(began.elapsed() <= 2 * POLL);
    }
}
