//! A real, certified OAuth server (oidc-provider), as a process.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    by,
    child::Running,
    client::Client,
    pki::{TRUSTED, Valid},
    tool::{clean, node, script},
};

/// The one name that it has, and another one.
pub const HOST: &str = "auth.example.test";
pub const LOGIN: &str = "login.example.test";

/// The seconds for which a used refresh token is taken again, by a server that can be started again.
pub const GRACE: u64 = 10;

pub struct Server {
    process: Option<Running>,
    pub address: SocketAddr,
    pub access: String,
    pub refresh: String,
    folder: TempDir,
    arguments: Vec<String>,
    /// The command line that it is started by.
    within: Vec<String>,
}

// === impl Server ===

impl Server {
    /// Everything is in its memory, and a refresh token is good for one use.
    pub async fn start(lifetime: f64) -> Self {
        Self::new(lifetime, Vec::new(), Vec::new()).await
    }

    /// What it knows is in a file, so that it can be killed and started again, here.
    pub async fn durable(lifetime: f64, address: SocketAddr, within: Vec<String>) -> Self {
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let more = vec!["state.jsonl".to_owned(), ip, port, GRACE.to_string()];
        let mut server = Self::new(lifetime, more, within).await;
        server.address = address;
        server
    }

    async fn new(lifetime: f64, more: Vec<String>, within: Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = TRUSTED.issue(&[HOST, LOGIN], Valid::Now);
        std::fs::write(folder.path().join("cert.pem"), &identity.chain_pem).unwrap();
        std::fs::write(folder.path().join("key.pem"), &identity.key_pem).unwrap();
        assert!(script("node/node_modules/oidc-provider").is_dir());
        let lifetime = lifetime.to_string();
        let mut arguments = vec!["cert.pem".to_owned(), "key.pem".to_owned(), lifetime];
        arguments.extend(more);
        let mut server = Self {
            process: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            access: String::new(),
            refresh: String::new(),
            folder,
            arguments,
            within,
        };
        let ready = server.launch().await;
        let port = ready["port"].as_u64().and_then(|port| port.try_into().ok());
        server.address.set_port(port.expect("a port"));
        let text = |name: &str| ready[name].as_str().expect("a token").to_owned();
        (server.access, server.refresh) = (text("access"), text("refresh"));
        server
    }

    /// Starts the process; returns what it says when it is ready.
    async fn launch(&mut self) -> Value {
        let mut command = clean(&node(), self.folder.path());
        command.arg(script("node/oidc.mjs")).args(&self.arguments);
        if let [program, arguments @ ..] = &self.within[..] {
            let mut within = Command::new(program);
            within.args(arguments);
            command = by(within, &command);
        }
        let mut process = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let line = tokio::task::block_in_place(|| process.lines().next());
        self.process = Some(process);
        serde_json::from_str(&line.expect("a line")).expect("its first line as JSON")
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("running").id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    pub async fn restart(&mut self) {
        self.launch().await;
    }

    /// The refusals of a server that can be started again, over all its lives.
    pub fn refusals(&self) -> Vec<String> {
        let state: PathBuf = Path::new(self.folder.path()).join("state.jsonl");
        let lines = std::fs::read_to_string(state).expect("its state");
        let lines = lines
            .lines()
            .filter(|line| line.contains("\"op\":\"error\""));
        lines.map(str::to_owned).collect()
    }

    pub async fn stats(&self) -> Value {
        let url = format!("https://{HOST}/control/stats");
        Client::to(self.address).get(&url).await.expect(200).json()
    }

    /// Ends the access tokens that were used; says how many.
    pub async fn revoke(&self) -> u64 {
        revoke(&Client::to(self.address)).await
    }
}

/// As [`Server::revoke`], by a client of its own.
pub async fn revoke(client: &Client) -> u64 {
    let url = format!("https://{HOST}/control/revoke");
    let answer = client.post(&url, "x").await.expect(200).json();
    answer["ended"].as_u64().expect("a number")
}

/// Has the server do something from then on: `close`, `away/502`, `away/html`, `away/`.
pub async fn tell(client: &Client, what: &str) {
    let url = format!("https://{HOST}/control/{what}");
    client.post(&url, "x").await.expect(200);
}

/// The session of such a server, as configuration.
pub fn session() -> String {
    format!(
        r#"
[session.app]
bind = [{{ host = "{HOST}", path = "/resource/*" }}]
values = {{ client_id = "tests" }}
secrets = {{ client_secret = "env:SECRET", access_token = "env:ACCESS", refresh_token = "env:REFRESH" }}
[[session.app.inject]]
header = "authorization"
value = "Bearer {{{{ access_token }}}}"
[session.app.refresh]
kind = "oauth2"
token_url = "https://{HOST}/token"
client_auth = "basic"
"#
    )
}
