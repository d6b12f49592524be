//! Processes that end with the test, whatever becomes of it.

use std::{
    ops::{Deref, DerefMut},
    process::{Child, Command},
};

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
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The most memory that a process has had.
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
