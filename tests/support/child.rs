//! Processes that end with the test, whatever becomes of it.

use std::{
    io::{BufRead as _, BufReader, Read},
    ops::{Deref, DerefMut},
    process::{Child, Command, ExitStatus},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use super::LIMIT;

/// A process that is killed when nobody holds it any more.
pub struct Running(Child);

// === impl Running ===

impl Running {
    pub fn start(command: &mut Command) -> Self {
        match command.spawn() {
            Ok(child) => Self(child),
            Err(error) => panic!("{command:?}: {error}"),
        }
    }

    /// What it writes to its standard output, which is piped.
    pub fn lines(&mut self) -> Lines {
        lines(self.stdout.take().expect("piped"))
    }

    /// Its end, by itself, within [`LIMIT`].
    pub fn end(&mut self) -> ExitStatus {
        let status = ended(&mut self.0, LIMIT);
        status.unwrap_or_else(|| panic!("process {} does not end within {LIMIT:?}", self.0.id()))
    }
}

/// Lines with their ends, as they come; each within [`LIMIT`].
pub struct Lines(Receiver<String>);

/// Reads in a thread of its own, until nobody looks any more.
pub fn lines(pipe: impl Read + Send + 'static) -> Lines {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(1..)) {
            let line = String::from_utf8_lossy(&bytes).into_owned();
            bytes.clear();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Lines(receiver)
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        match self.0.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {LIMIT:?}"),
        }
    }
}

/// The result of a thread that is about to end.
pub fn joined<T>(what: &str, thread: JoinHandle<T>) -> T {
    let begun = Instant::now();
    while !thread.is_finished() {
        assert!(begun.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        thread::sleep(Duration::from_millis(5));
    }
    thread.join().expect(what)
}

/// Waits until a process has ended.
pub fn ended(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return Some(status);
        }
        if begun.elapsed() > limit {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Kills a process and all that it has started.
pub fn kill_all(pid: u32) {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    for task in tasks.flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children"));
        for child in children.unwrap_or_default().split_whitespace() {
            kill_all(child.parse().expect("a process"));
        }
    }
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, Signal::KILL);
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        if matches!(self.0.try_wait(), Ok(None)) {
            kill_all(self.0.id());
        }
        let _ = self.0.wait();
    }
}

/// Lets the tests' own process have so many files.
pub fn raise_files(count: usize) {
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|files| files >= count as u64);
    if !enough(limit.current) {
        assert!(enough(limit.maximum), "{count} files are needed: {limit:?}");
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        setrlimit(Resource::Nofile, raised).expect("raise our own limit");
    }
}

/// The most memory that a process has had; the kernel adds it up now and then, so that it may seem to shrink a little.
pub fn peak_kib(pid: u32) -> usize {
    memory_kib(pid, "VmHWM:")
}

/// The memory that a process has.
pub fn resident_kib(pid: u32) -> usize {
    memory_kib(pid, "VmRSS:")
}

fn memory_kib(pid: u32, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(name));
    let kib = line.expect(name).trim().trim_end_matches(" kB");
    kib.parse().expect("a number")
}
