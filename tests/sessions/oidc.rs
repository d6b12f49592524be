//! A real, certified OAuth server: rotation with reuse detection and no grace at all.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    child::Running,
    client::Client,
    pki::{TRUSTED, Valid},
    proxy::proxy,
    tool::{clean, node, script},
};

use super::Crowd;

const HOST: &str = "auth.example.test";
const LIFETIME: f64 = 5.0;
const MINUTE: Duration = Duration::from_secs(60);

struct Server {
    _process: Running,
    address: SocketAddr,
    access: String,
    refresh: String,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = TRUSTED.issue(&[HOST], Valid::Now);
        std::fs::write(folder.path().join("cert.pem"), &identity.chain_pem).unwrap();
        std::fs::write(folder.path().join("key.pem"), &identity.key_pem).unwrap();
        let mut command = clean(&node(), folder.path());
        let oidc = script("node/oidc.mjs");
        let modules = script("node/node_modules/oidc-provider");
        assert!(modules.is_dir());
        command
            .arg(oidc)
            .args(["cert.pem", "key.pem", &LIFETIME.to_string()]);
        let mut process = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let output = process.stdout.take().expect("piped");
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(output)
                .read_line(&mut line)
                .expect("its first line");
            line
        });
        let ready: Value =
            serde_json::from_str(&line.await.unwrap()).expect("its first line as JSON");
        let port = ready["port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .expect("a port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let text = |name: &str| ready[name].as_str().expect("a token").to_owned();
        let client = Client::to(address);
        Self {
            _process: process,
            address,
            access: text("access"),
            refresh: text("refresh"),
            client,
            _folder: folder,
        }
    }

    async fn stats(&self) -> Value {
        self.client
            .get(&format!("https://{HOST}/control/stats"))
            .await
            .expect(200)
            .json()
    }

    /// Ends the access tokens that were used; says how many.
    async fn revoke(&self) -> u64 {
        let answer = self
            .client
            .post(&format!("https://{HOST}/control/revoke"), "x")
            .await
            .expect(200)
            .json();
        answer["ended"].as_u64().expect("a number")
    }
}

/// Promises 2 and 3: 32 parallel clients for a minute, five-second tokens, tokens in use revoked at random: no client
/// sees a 401, no refresh token comes twice, and each access token that ended cost one refresh at most.
#[tokio::test(flavor = "multi_thread")]
async fn a_certified_server_never_sees_reuse() {
    let server = Server::start().await;
    let proxy = proxy()
        .resolve(&format!("{HOST}:443"), server.address)
        .config(format!(
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
        ))
        .env("SECRET", "tests-secret")
        .env("ACCESS", &server.access)
        .env("REFRESH", &server.refresh)
        .level("info")
        .start()
        .await;
    let begun = Instant::now();
    let crowd = Crowd::new(&proxy.client(), 32, &format!("https://{HOST}/resource/x"));
    let mut revoked = 0;
    while begun.elapsed() < MINUTE {
        let mut random = [0; 2];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        // From 0.7 to 4 seconds: within a token's life, and past its refresh ahead of time.
        tokio::time::sleep(Duration::from_millis(
            700 + u64::from(u16::from_le_bytes(random)) / 20,
        ))
        .await;
        // Whoever met the last revocation is through with it: nobody meets two within one request.
        crowd.each_answered(2).await;
        revoked += server.revoke().await;
    }
    let [good, unauthorized, other, failed] = crowd.stop().await.all();
    let elapsed = begun.elapsed().as_secs_f64();
    let stats = server.stats().await;
    println!("{good} requests in {elapsed:.0} s; {revoked} tokens revoked early; {stats}");
    assert_eq!((unauthorized, other, failed), (0, 0, 0), "of {good}");
    assert!(good > 1_000, "{good} requests");
    assert!(revoked > 5);
    for never in ["grants_revoked", "repeated"] {
        assert_eq!(stats[never], 0, "{never}: {stats}");
    }
    assert_eq!(stats["errors"], serde_json::json!([]));
    let granted = stats["granted"].as_f64().expect("a number");
    // A token ends early, or half its life is over; the first one's end is not known.
    let ended = revoked as f64 + elapsed / (LIFETIME / 2.0) + 2.0;
    assert!(
        granted <= ended,
        "{granted} refreshes for at most {ended:.0} ended tokens"
    );
    assert!(granted >= 8.0, "{stats}");
    let answer = proxy
        .client()
        .get(&format!("https://{HOST}/resource/end"))
        .await
        .expect(200);
    assert_eq!(answer.text(), "in");
}
