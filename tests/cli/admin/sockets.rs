//! Where the admin side is: beside it the one for probes, on a unix socket, or nowhere.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{ports, proxy::proxy};

use super::ask;

#[tokio::test(flavor = "multi_thread")]
async fn the_side_for_probes_has_no_token_and_little_else() {
    let health = ports::free();
    let mut proxy = proxy()
        .bearer("api", "api.example", "canary-probe")
        .key(&format!("health = \"{health}\""))
        .prepare();
    proxy.start().await;
    let get = |path: &str| ask(health, &format!("GET {path}"), &["Host: pod.internal"], "");
    assert_eq!(
        (get("/healthz").status, &*get("/readyz").body),
        (200, "ok\n")
    );
    assert_eq!(
        get("/ca.pem").body,
        std::fs::read_to_string(proxy.ca_path()).unwrap()
    );
    let metrics = get("/metrics").body;
    for name in [
        "staysigned_requests_total{session=\"api\",outcome=\"accepted\"} 0",
        "staysigned_rotations_total{session=\"api\"} 0",
        "staysigned_replays_total{session=\"api\",result=\"accepted\"} 0",
        "staysigned_expiries_total{session=\"api\"} 0",
        "staysigned_session_state{session=\"api\",state=\"fresh\"} 1",
        "staysigned_upstream_connections{state=\"idle\"} 0",
        "staysigned_upstream_connections{state=\"active\"} 0",
        "staysigned_added_latency_seconds_count 0",
        "staysigned_refresh_duration_seconds_count 0",
        "staysigned_build_info{version=",
    ] {
        assert!(metrics.contains(name), "no {name} in\n{metrics}");
    }
    assert!(!metrics.contains("canary-probe"));
    for path in ["/", "/api/v1/sessions", "/api/v1/proxy"] {
        assert_eq!(get(path).status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_unix_socket_or_not_at_all() {
    for admin in ["unix:admin.sock", "off"] {
        let proxy = proxy().bearer("api", "api.example", "t").prepare();
        let path = proxy.path().join("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace(
            &format!("admin = \"{}\"", proxy.admin),
            &format!("admin = \"{admin}\""),
        );
        std::fs::write(&path, text).unwrap();
        let mut proxy = proxy;
        proxy.start().await;
        let asked = ["run", "--", "sh", "-c", "echo $HTTPS_PROXY"];
        let said: crate::cli::Said = proxy.cli(&asked).into();
        let own = said.good().contains(&proxy.listen.to_string());
        assert_eq!(own, admin != "off", "{admin}");
        let said: crate::cli::Said = proxy.cli(&["status"]).into();
        assert!(said.good().contains("api"));
    }
}

/// A port that the system chose is found by commands, and only while the proxy runs.
#[tokio::test(flavor = "multi_thread")]
async fn at_a_port_of_the_systems_choice() {
    let mut proxy = proxy().bearer("api", "api.example", "t").prepare();
    let place = proxy.path().join("admin.address");
    proxy.edit(|text| text.replace(&proxy.admin.to_string(), "127.0.0.1:0"));
    for end in [Signal::KILL, Signal::TERM] {
        proxy.start().await;
        let asked = ["run", "--", "sh", "-c", "echo $HTTPS_PROXY"];
        let said: crate::cli::Said = proxy.cli(&asked).into();
        assert!(said.good().contains(&proxy.listen.to_string()));
        let put = ["import", "api", "--from", "json"];
        let said: crate::cli::Said = proxy.cli_with(&put, "{\"access_token\": \"v\"}").into();
        said.good();
        let address = std::fs::read_to_string(&place).unwrap();
        let health = ask(
            address.trim().parse().unwrap(),
            "GET /healthz",
            &[&format!("Host: {}", address.trim())],
            "",
        );
        assert_eq!(health.status, 200);
        proxy.signal(end);
        proxy.wait(Duration::from_secs(20)).await;
        // What `kill -9` left is not believed.
        assert_eq!(place.exists(), end == Signal::KILL);
        let said: crate::cli::Said = proxy.cli(&["status"]).into();
        assert!(said.good().contains("api"));
    }
}
