//! The certified server behind a network that drops packets in silence: nobody is signed out.

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use super::provider::{LIFETIME, with, works};
use crate::support::{
    netns::{End, FAR, Net},
    oidc::{GRACE, HOST, Server, revoke, session},
};

const PORT: u16 = 8443;

/// The whole life of a token, so that its refresh falls into each silence, and less than the server's grace.
const SILENCE: Duration = Duration::from_secs(4);

/// What is lost in the silence.
#[derive(Clone, Copy, Debug)]
enum Lost {
    Everything,
    Answers,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_network_signs_nobody_out() {
    let net = Net::new().await;
    let address: SocketAddr = format!("{FAR}:{PORT}").parse().unwrap();
    let server = Server::durable(LIFETIME, address, net.at(End::Far)).await;
    let mut proxy = with(&server)
        .resolve(&format!("{HOST}:443"), address)
        .prepare();
    proxy.edit(|text| text.replace(&session(), &format!("{}timeout = \"3s\"\n", session())));
    let words = net.at(End::Near);
    let mut within = Command::new(&words[0]);
    within.args(&words[1..]);
    net.serve(&mut proxy, within).await;

    let url = format!("https://{HOST}/resource/x");
    works(&proxy.client(), &url).await;
    let mut slowest = Duration::ZERO;
    for (round, lost) in [Lost::Answers, Lost::Everything]
        .into_iter()
        .cycle()
        .take(4)
        .enumerate()
    {
        if round % 2 == 0 {
            revoke(&proxy.client()).await;
        }
        let asked = tokio::spawn({
            let (client, url) = (proxy.client(), url.clone());
            async move { works(&client, &url).await }
        });
        match lost {
            Lost::Everything => net.cut().await,
            Lost::Answers => net.mute().await,
        }
        let begun = Instant::now();
        tokio::time::sleep(SILENCE).await;
        assert!(
            begun.elapsed() < Duration::from_secs(GRACE),
            "a machine too slow for this"
        );
        net.mend().await;
        let back = works(&proxy.client(), &url).await;
        asked.await.expect("who asked before is answered too");
        println!("{lost:?}: back {back:?} after the network");
        slowest = slowest.max(back);
    }
    assert_eq!(server.refusals(), [""; 0]);
    assert_eq!(proxy.status("app")["requires_login"], false);
}
