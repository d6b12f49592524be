//! The tool as a child process, indistinguishable from one started without us: the same standard streams, process
//! group and terminal, the signals that reach us, and its exit code as ours.
//!
//! The child stays in our process group. So the terminal's own signals (^C, ^\, ^Z) reach both of us at once, ^Z and
//! `fg` need nothing done, and the shell's job is the one it started. The price: such a signal must not be passed on
//! again, and where it came from cannot be asked; so in the foreground of a terminal, SIGINT and SIGQUIT are taken to
//! come from there.

use std::{
    convert::Infallible,
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    future::poll_fn,
    io,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    task::Poll,
};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpgrp, kill_process, wait};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

use super::environment::Environment;

/// The exit code when `run` itself fails.
pub const FAILED: u8 = 125;

/// Why the tool did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no command is given")]
    Empty,
    #[error("cannot start {}", program.display())]
    Start {
        program: OsString,
        source: io::Error,
    },
    #[error("cannot watch {}", program.display())]
    Watch {
        program: OsString,
        source: io::Error,
    },
}

// === impl Error ===

impl Error {
    /// Returns the exit code a shell would give: 127 for what is not there, 126 for what cannot be run.
    pub fn code(&self) -> u8 {
        match self {
            Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Start { .. } => 126,
            Self::Empty | Self::Watch { .. } => FAILED,
        }
    }
}

/// Runs the command line in its environment until it ends, passing signals on, and returns its exit code: its own, or
/// 128 and the number of the signal that ended it.
///
/// No handler for these signals may have been set up before: what the child should inherit as ignored (`nohup`) can
/// then no longer be seen.
pub async fn run(argv: &[OsString], environment: &Environment) -> Result<u8, Error> {
    let argv = environment.argv(argv);
    let [program, args @ ..] = &argv[..] else {
        return Err(Error::Empty);
    };
    let watch = |source| Error::Watch {
        program: program.clone(),
        source,
    };
    let signals = Signals::new().map_err(watch)?;
    let child = command(program, environment).args(args).spawn();
    let child = match child {
        // A script without an interpreter line: what the system refuses, `execvp` and every shell give to `sh`.
        Err(error) if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
            let mut shell = command(OsStr::new("/bin/sh"), environment);
            shell.arg(located(program)).args(args).spawn()
        }
        child => child,
    };
    let child = child.map_err(|source| Error::Start {
        program: program.clone(),
        source,
    })?;
    let status = watched(child, signals).await.map_err(watch)?;
    Ok(code(status))
}

/// As PID 1: starts this program again as a child and returns its exit code, reaping meanwhile whatever the system
/// hands over to PID 1. Only a process that starts nothing else may wait for every child, so the work is done in
/// another one.
pub async fn under_init() -> Result<u8, Error> {
    let program = env::current_exe().unwrap_or_else(|_| "staysigned".into());
    let mut command = std::process::Command::new(program);
    command.args(env::args_os().skip(1));
    reaping(command).await
}

/// Tells whether this process is the first of its system or container.
pub fn is_init() -> bool {
    std::process::id() == 1
}

async fn reaping(mut command: std::process::Command) -> Result<u8, Error> {
    let program = command.get_program().to_owned();
    let watch = |source| Error::Watch {
        program: program.clone(),
        source,
    };
    let mut ended = signal(SignalKind::child()).map_err(watch)?;
    let signals = Signals::new().map_err(watch)?;
    let child = command.spawn().map_err(|source| Error::Start {
        program: program.clone(),
        source,
    })?;
    let pid = Pid::from_child(&child);
    let forward = signals.forward(pid);
    tokio::pin!(forward);
    loop {
        while let Ok(Some((one, status))) = wait(WaitOptions::NOHANG) {
            if one == pid {
                return Ok(code(ExitStatus::from_raw(status.as_raw())));
            }
        }
        tokio::select! {
            _ = ended.recv() => {}
            never = &mut forward => match never {},
        }
    }
}

fn command(program: &OsStr, environment: &Environment) -> Command {
    let mut command = Command::new(program);
    command.envs(&environment.set);
    for name in &environment.unset {
        command.env_remove(name);
    }
    command
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit());
    command
}

/// Returns where a program lies that was started by name.
fn located(program: &OsStr) -> PathBuf {
    let named = Path::new(program);
    if named.components().count() > 1 {
        return named.to_owned();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(named))
        .find(|path| path.is_file())
        .unwrap_or_else(|| named.to_owned())
}

async fn watched(mut child: Child, signals: Signals) -> io::Result<ExitStatus> {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let Some(pid) = pid else {
        return child.wait().await;
    };
    // The child is reaped in this task alone, so its number cannot have become another's when a signal is passed on.
    tokio::select! {
        status = child.wait() => status,
        never = signals.forward(pid) => match never {},
    }
}

/// The signals that are passed on, listened for from before the child starts.
struct Signals(Vec<(Signal, tokio::signal::unix::Signal)>);

// === impl Signals ===

impl Signals {
    /// Begins to listen, but not for what is ignored: a handler would take that away from the child (`nohup`).
    fn new() -> io::Result<Self> {
        let ignored = ignored();
        let kinds = [
            Signal::INT,
            Signal::QUIT,
            Signal::TERM,
            Signal::HUP,
            Signal::USR1,
            Signal::USR2,
        ];
        let heeded = kinds
            .into_iter()
            .filter(|kind| ignored >> (kind.as_raw() - 1) & 1 == 0);
        let listened = heeded.map(|kind| Ok((kind, signal(SignalKind::from_raw(kind.as_raw()))?)));
        Ok(Self(listened.collect::<io::Result<_>>()?))
    }

    /// Passes them on for ever.
    async fn forward(mut self, to: Pid) -> Infallible {
        loop {
            let signal = poll_fn(|context| {
                let mut all = self.0.iter_mut();
                all.find_map(|(kind, heard)| heard.poll_recv(context).is_ready().then_some(*kind))
                    .map_or(Poll::Pending, Poll::Ready)
            })
            .await;
            let by_terminal = signal == Signal::INT || signal == Signal::QUIT;
            if !(by_terminal && in_foreground()) {
                // It may have ended a moment ago.
                kill_process(to, signal).ok();
            }
        }
    }
}

/// Returns the signals that this process ignores, one bit each; none where the system does not say.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Tells whether our process group is the one that the terminal's signals go to.
fn in_foreground() -> bool {
    let terminal = File::open("/dev/tty").and_then(|tty| Ok(rustix::termios::tcgetpgrp(tty)?));
    terminal.is_ok_and(|group| group == getpgrp())
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| {
        let signal = status.signal().unwrap_or(0);
        128 + signal
    });
    u8::try_from(code).unwrap_or(FAILED)
}

#[cfg(test)]
mod tests;
