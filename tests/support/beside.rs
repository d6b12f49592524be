//! A second proxy beside the first: on the same configuration and store, with a port of its own.

use std::time::{Duration, Instant};

use super::{LIMIT, child::Running, client::Client, ports, proxy::Proxy};

/// Starts it; it ends with the guard.
pub async fn beside(first: &Proxy) -> (Running, Client) {
    let listen = ports::free();
    let text = std::fs::read_to_string(first.path().join("config.toml")).unwrap();
    let text = text
        .replace(
            &format!("listen = [\"{}\"]", first.listen),
            &format!("listen = [\"{listen}\"]"),
        )
        .replace(&format!("admin = \"{}\"", first.admin), "admin = \"off\"");
    std::fs::write(first.path().join("second.toml"), text).unwrap();
    let mut second = first.command_for("second.toml", &["serve"]);
    let log = std::fs::File::create(first.path().join("second.log")).unwrap();
    let mut second = Running::start(second.stderr(log));
    let begun = Instant::now();
    while tokio::net::TcpStream::connect(listen).await.is_err() {
        assert!(begun.elapsed() < LIMIT, "the second proxy does not listen");
        assert!(
            second.try_wait().unwrap().is_none(),
            "the second proxy ended"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ca = std::fs::read_to_string(first.ca_path()).unwrap();
    (second, Client::proxied(listen, &ca))
}
