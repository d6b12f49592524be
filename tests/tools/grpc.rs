//! gRPC by its own library, on both sides: unary calls, streams in each direction and in both, trailers, errors.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Stdio},
};

use crate::support::{
    pki::{TRUSTED, Valid},
    proxy::{Proxy, proxy},
    seen,
    tool::{Way, clean, python, script, succeed, through},
};

const HOST: &str = "calls.example.test";

/// A server in Python; it ends when this is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn server(folder: &std::path::Path) -> (Server, SocketAddr) {
    let identity = TRUSTED.issue(&[HOST], Valid::Now);
    let (certificate, key) = (folder.join("calls.pem"), folder.join("calls.key"));
    std::fs::write(&certificate, &identity.chain_pem).expect("written");
    std::fs::write(&key, &identity.key_pem).expect("written");
    let mut command = clean(&python(), folder);
    command.arg(script("python/calls.py")).arg("serve");
    command.args([&certificate, &key]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("Python");
    let mut line = String::new();
    let out = child.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("a port");
    let port: u16 = line.trim().parse().expect("a port");
    (Server(child), ([127, 0, 0, 1], port).into())
}

async fn world() -> (Server, Proxy, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, address) = server(folder.path());
    let proxy = proxy()
        .resolve(&format!("{HOST}:443"), address)
        .bearer("calls", HOST, "t1")
        .start()
        .await;
    (server, proxy, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_calls_of_every_kind() {
    let (_server, proxy, _folder) = world().await;
    let calls = script("python/calls.py");
    let target = format!("{HOST}:443");
    let arguments = [calls.to_str().expect("a path"), "call", &target];
    for way in [Way::Run, Way::Variables] {
        let mut command = through(&proxy, way, &python(), &arguments);
        if way == Way::Variables {
            command.env("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", proxy.ca_path());
        }
        let output = succeed(command).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
    }
    let version = seen::python("requirements.txt", "grpcio");
    seen::saw("any", "Python `grpcio`", &version, "calls of every kind");
}
