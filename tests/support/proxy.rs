//! The proxy as users run it: a process with a configuration file in a folder of its own.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    child::Running,
    client::{Client, eventually},
    origin::Origin,
    pki::TRUSTED,
    ports,
    raw::Raw,
    tool,
};

/// The binary under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_staysigned");

/// How long the proxy may take to listen. It is far quicker; a machine busy with other tests is not.
const START: Duration = Duration::from_secs(60);

/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(60);

/// How much of each log a failed test shows, in bytes.
const SHOWN: usize = 100_000;

/// A folder with a configuration, and the process that runs with it.
pub struct Proxy {
    pub folder: TempDir,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub environment: Vec<(String, String)>,
    child: Option<Running>,
}

#[derive(Clone)]
pub struct Builder {
    proxy: String,
    sections: String,
    resolve: Vec<(String, SocketAddr)>,
    environment: Vec<(String, String)>,
    level: &'static str,
    store: &'static str,
    roots: String,
    files: Vec<(String, String)>,
    listen: Option<SocketAddr>,
}

pub fn proxy() -> Builder {
    Builder {
        proxy: String::new(),
        sections: String::new(),
        resolve: Vec::new(),
        environment: Vec::new(),
        level: "debug",
        store: "sqlite:staysigned.db",
        roots: TRUSTED.pem(),
        files: Vec::new(),
        listen: None,
    }
}

// === impl Builder ===

impl Builder {
    /// The origin's names lead to it, at the port of its scheme.
    pub fn site(mut self, origin: &Origin) -> Self {
        for name in &origin.names {
            self.resolve
                .push((format!("{name}:{}", origin.port()), origin.address));
        }
        self
    }

    pub fn raw(self, origin: &Raw) -> Self {
        let place = format!("{}:443", origin.name);
        self.resolve(&place, origin.address)
    }

    pub fn resolve(mut self, place: &str, to: SocketAddr) -> Self {
        self.resolve.push((place.to_owned(), to));
        self
    }

    /// More of the configuration file, at its end.
    pub fn config(mut self, toml: impl AsRef<str>) -> Self {
        self.sections.push_str(toml.as_ref());
        self.sections.push('\n');
        self
    }

    /// More keys of `[proxy]`.
    pub fn key(mut self, line: &str) -> Self {
        self.proxy.push_str(line);
        self.proxy.push('\n');
        self
    }

    /// A session that puts one bearer token on all requests to a host, and cannot be renewed.
    pub fn bearer(self, name: &str, host: &str, token: &str) -> Self {
        let variable = format!("TOKEN_{}", name.to_uppercase());
        self.config(bearer(name, &format!("{{ host = \"{host}\" }}"), &variable))
            .env(&variable, token)
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn level(mut self, level: &'static str) -> Self {
        self.level = level;
        self
    }

    pub fn memory(mut self) -> Self {
        self.store = "memory:";
        self
    }

    /// A file beside the configuration.
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// Listens here, and not at any free port.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// The folder, without a process.
    pub fn prepare(self) -> Proxy {
        let folder = tempfile::Builder::new()
            .prefix("staysigned-")
            .tempdir()
            .expect("a folder");
        let listen = self.listen.unwrap_or_else(ports::free);
        let admin = ports::free();
        let resolve: Vec<String> = self
            .resolve
            .iter()
            .map(|(place, to)| format!("\"{place}\" = \"{to}\""))
            .collect();
        let config = format!(
            "[proxy]\nlisten = [\"{listen}\"]\nadmin = \"{admin}\"\nupstream_proxy = \"none\"\n\
             extra_roots = [\"roots.pem\"]\nresolve = {{ {} }}\n{}\n\
             [store]\nurl = \"{}\"\n\n[log]\nlevel = \"{}\"\nformat = \"text\"\n\n{}",
            resolve.join(", "),
            self.proxy,
            self.store,
            self.level,
            self.sections,
        );
        let path = folder.path();
        std::fs::write(path.join("config.toml"), config).expect("write the configuration");
        std::fs::write(path.join("roots.pem"), &self.roots).expect("write the roots");
        for (name, content) in &self.files {
            std::fs::write(path.join(name), content).expect("write a file");
        }
        Proxy {
            folder,
            listen,
            admin,
            environment: self.environment,
            child: None,
        }
    }

    pub async fn start(self) -> Proxy {
        let mut proxy = self.prepare();
        proxy.start().await;
        proxy
    }
}

pub fn bearer(name: &str, bind: &str, variable: &str) -> String {
    format!(
        r#"
[session.{name}]
bind = [{bind}]
secrets = {{ token = "env:{variable}" }}

[[session.{name}.inject]]
header = "authorization"
value = "Bearer {{{{ token }}}}"

[session.{name}.refresh]
kind = "none"
"#
    )
}

// === impl Proxy ===

impl Proxy {
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn ca_path(&self) -> PathBuf {
        self.path().join("certs/ca.pem")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// A client that goes through this proxy.
    pub fn client(&self) -> Client {
        let ca = std::fs::read_to_string(self.ca_path()).expect("the proxy made a CA");
        Client::proxied(self.listen, &ca)
    }

    /// The command, with the folder's configuration, and nothing else of the environment than what a shell has.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_for("config.toml", arguments)
    }

    /// The command, with another configuration of the same folder.
    pub fn command_for(&self, config: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--config")
            .arg(self.path().join(config))
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("RUST_BACKTRACE", "1")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the program to its end.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_with(arguments, "")
    }

    /// As [`cli`](Self::cli), with text on standard input.
    pub fn cli_with(&self, arguments: &[&str], input: &str) -> Output {
        tool::feed(self.command(arguments), input, COMMAND)
    }

    /// What `status --json` says of a session.
    pub fn status(&self, session: &str) -> serde_json::Value {
        let output = self.cli(&["status", "--json"]);
        let text = String::from_utf8_lossy(&output.stdout);
        let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!(
                "status: {error}: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
        let sessions = status["sessions"].as_array().expect("sessions");
        let found = sessions.iter().find(|entry| entry["name"] == session);
        found
            .unwrap_or_else(|| panic!("no session {session}: {text}"))
            .clone()
    }

    pub async fn start(&mut self) {
        self.start_as(self.command(&["serve"])).await;
    }

    /// Starts with another command that becomes the program.
    pub async fn start_as(&mut self, mut command: Command) {
        assert!(self.child.is_none(), "started twice");
        let log = |name: &str| {
            File::options()
                .create(true)
                .append(true)
                .open(self.path().join(name))
                .expect("the log's file")
        };
        command.stdout(log("stdout.log")).stderr(log("stderr.log"));
        self.child = Some(Running::start(&mut command));
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(self.listen).await.is_err() {
            let child = self.child.as_mut().expect("started");
            if let Some(status) = child.try_wait().expect("wait") {
                panic!("the proxy ended at once: {status}\n{}", self.log());
            }
            assert!(
                begun.elapsed() < START,
                "the proxy does not listen:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// Changes the configuration's text.
    pub fn edit(&self, change: impl FnOnce(String) -> String) {
        let path = self.path().join("config.toml");
        let text = std::fs::read_to_string(&path).expect("the configuration");
        std::fs::write(path, change(text)).expect("write the configuration");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("running");
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .expect("a process");
        rustix::process::kill_process(pid, signal).expect("signal");
    }

    /// The exit status of a process that is about to end.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("running");
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("wait") {
                return status;
            }
            if begun.elapsed() > limit {
                child.kill().expect("kill");
                child.wait().expect("wait");
                panic!("the proxy did not end within {limit:?}:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().expect("wait").is_none())
    }

    /// Sends SIGHUP, and waits until the log says what came of it.
    pub async fn hangup(&self) -> String {
        let before = self.log().len();
        self.signal(rustix::process::Signal::HUP);
        eventually("the configuration is read again", START, || {
            let said = self.log().split_off(before);
            let done = ["was read again", "the old one stays in force"];
            done.iter()
                .any(|words| said.contains(words))
                .then_some(said)
        })
        .await
    }

    /// Prints what a failed test leaves to read: the end of each log in the folder.
    fn show_logs(&self) {
        let files = std::fs::read_dir(self.path()).into_iter().flatten();
        let mut files: Vec<_> = files.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "log"));
        files.sort();
        for path in files {
            let log = std::fs::read(&path).unwrap_or_default();
            let log = String::from_utf8_lossy(&log[log.len().saturating_sub(SHOWN)..]);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            eprintln!(
                "--- {name} of the proxy at {}, its end ---\n{log}",
                self.listen
            );
        }
    }

    /// All that the process has written so far.
    pub fn log(&self) -> String {
        let read = |name: &str| std::fs::read(self.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&[read("stdout.log"), read("stderr.log")].concat()).into_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child = None;
        if std::thread::panicking() {
            self.show_logs();
        }
    }
}
