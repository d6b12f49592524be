//! gRPC by its own library, on both sides: unary calls, streams in each direction and in both, trailers, errors.

use std::{net::SocketAddr, process::Stdio};

use crate::support::{
    child::Running,
    pki::{TRUSTED, Valid},
    proxy::{Proxy, proxy},
    seen,
    tool::{Way, clean, python, script, succeed, through},
};

const HOST: &str = "calls.example.test";

fn server(folder: &std::path::Path) -> (Running, SocketAddr) {
    let identity = TRUSTED.issue(&[HOST], Valid::Now);
    let (certificate, key) = (folder.join("calls.pem"), folder.join("calls.key"));
    std::fs::write(&certificate, &identity.chain_pem).expect("written");
    std::fs::write(&key, &identity.key_pem).expect("written");
    let mut command = clean(&python(), folder);
    command.arg(script("python/calls.py")).arg("serve");
    command.args([&certificate, &key]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Running::start(&mut command);
    let line = child.lines().next().expect("a line");
    let port: u16 = line.trim().parse().expect("a port");
    (child, ([127, 0, 0, 1], port).into())
}

async fn world() -> (Running, Proxy, tempfile::TempDir) {
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
