//! Names with several addresses, the first of them silent (RFC 8305 §5): the next one gets its turn after a quarter of a
//! second, not when the system has given up on the first.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use crate::support::{
    child::Running,
    netns::{End, MOUNT, Net},
    proxy::proxy,
    tool,
};

/// The head start of the first address over the second.
const STAGGER: Duration = Duration::from_millis(250);

/// Where both addresses listen, within the network namespace.
const PORT: u16 = 8000;

/// `limits.connect` is for all addresses together: whoever waited for the silent one would have no time left.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_address_does_not_hold_up_a_good_one() {
    let net = Net::new().await;
    let mut proxy = proxy()
        .config("[limits]\nconnect = \"15s\"")
        .file("servers", "nameserver 127.0.0.1\n")
        .file("index.html", "here")
        .level("info")
        .prepare();
    let within = |program: &str, arguments: &[&str]| net.program(End::Near, program, arguments);
    let python = tool::python();
    let python = python.to_str().unwrap();
    let (names, silent) = (
        tool::script("python/names.py"),
        tool::script("python/silent.py"),
    );
    let folder = proxy.path().to_str().unwrap().to_owned();
    let port = PORT.to_string();
    let web = ["-u", "-m", "http.server", &port, "-b", "127.0.0.2"];
    let mut servers = [
        within(python, &[names.to_str().unwrap()]),
        within(python, &[silent.to_str().unwrap(), &port]),
        within(python, &[&web[..], &["-d", &folder]].concat()),
    ]
    .map(|mut command| Running::start(command.stderr(Stdio::null())));
    for server in &mut servers {
        server.lines().next().expect("it listens");
    }
    let unshare = within("unshare", &["-m", "sh", "-c", MOUNT]);
    net.serve(&mut proxy, unshare).await;

    let client = proxy.client();
    let url = |host: &str| format!("http://{host}:{PORT}/index.html");
    let (alone, of_two) = (url("127.0.0.1"), url("two.example.test"));
    // It is silent indeed.
    let alone = async {
        let answer = client.get(&alone).await.expect(504);
        let says = answer.field("proxy-status").expect("ours").to_owned();
        assert!(says.contains("error=connection_timeout;"), "{says}");
    };
    let of_two = async {
        let begun = Instant::now();
        let answer = client.get(&of_two).await.expect(200);
        assert_eq!(answer.text(), "here");
        let took = begun.elapsed();
        assert!(took >= STAGGER, "{took:?}: the silent one was not first");
        println!("connected to the second address after {took:?}");
    };
    tokio::join!(alone, of_two);
}
