//! strace on a running process: what its threads call, and faults in the middle of that.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{child::Running, client::eventually};

/// The calls that change something outside of the process: files, sockets, locks.
pub const WRITES: &str = "write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,ftruncate,fallocate,\
     fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,flock,link,linkat,symlink,mkdir,mkdirat";

/// How long strace may take to attach.
const ATTACH: Duration = Duration::from_secs(30);

/// A thread: its name, and its number among those of that name, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thread {
    pub name: String,
    pub number: usize,
}

/// What is traced.
#[derive(Clone, Debug)]
pub enum Whom {
    /// All threads of a process, those to come too. Calls are counted for each by itself.
    All(u32),
    /// One thread alone.
    One(u32, Thread),
}

/// It detaches when it is dropped; the process goes on.
pub struct Strace {
    process: Running,
    log: PathBuf,
}

/// Returns the threads of a process by their ids.
pub fn threads(pid: u32) -> BTreeMap<u32, Thread> {
    let mut ids: Vec<u32> = tasks(pid);
    ids.sort_unstable();
    let mut numbers = BTreeMap::<String, usize>::new();
    let mut found = BTreeMap::new();
    for id in ids {
        // A thread may end meanwhile.
        let Ok(name) = std::fs::read_to_string(format!("/proc/{pid}/task/{id}/comm")) else {
            continue;
        };
        let name = name.trim_end().to_owned();
        let number = numbers.entry(name.clone()).or_default();
        let thread = Thread {
            name,
            number: *number,
        };
        *number += 1;
        found.insert(id, thread);
    }
    found
}

fn tasks(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let names = tasks.flatten().flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect()
}

// === impl Strace ===

impl Strace {
    /// Attaches with these options, and returns when it has.
    pub async fn attach(whom: &Whom, options: &[&str], log: &Path) -> Self {
        let mut command = Command::new("strace");
        command.arg("-o").arg(log).args(options);
        let target = match whom {
            Whom::All(pid) => {
                command.arg("-f");
                *pid
            }
            Whom::One(pid, thread) => {
                let all = threads(*pid);
                let found = all.iter().find(|(_, other)| *other == thread);
                *found
                    .unwrap_or_else(|| panic!("no {thread:?} in {all:?}"))
                    .0
            }
        };
        command.args(["-p", &target.to_string()]);
        let said = log.with_extension("said");
        let output = File::create(&said).expect("a file");
        let mut process = Running::start(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(output),
        );
        eventually("strace attaches (only root may)", ATTACH, || {
            // From then on no call is missed; before, although there is a tracer, some are.
            let said = std::fs::read_to_string(&said).expect("what it says");
            let ended = process.try_wait().expect("wait");
            let attached = said.contains(" attached");
            assert!(attached || ended.is_none(), "strace: {ended:?}: {said}");
            attached.then_some(())
        })
        .await;
        Self {
            process,
            log: log.to_owned(),
        }
    }

    /// The calls so far, as strace writes them.
    pub fn calls(&self) -> Vec<String> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Ends it, and returns the calls that were made.
    pub async fn detach(mut self) -> Vec<String> {
        self.terminate();
        eventually("strace detaches", ATTACH, || {
            self.process.try_wait().expect("wait")
        })
        .await;
        self.calls()
    }

    fn terminate(&self) {
        let id = i32::try_from(self.process.id()).ok();
        if let Some(id) = id.and_then(Pid::from_raw) {
            // It may have ended with the process that it traced.
            let _ = kill_process(id, Signal::TERM);
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Killed as a last resort, it leaves the process running too.
        self.terminate();
    }
}
