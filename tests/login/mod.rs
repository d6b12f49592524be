//! Signing in by hand (5.4.13): `login` as a process, a headless browser, and authorization servers with their rules.

mod amazon;
mod code;
mod device;
/// The certified server.
mod oidc;
/// What is said where there is no such way.
mod ways;

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
};

use http::Request;

use crate::support::{
    authority::{Authority, session},
    child::{Lines, Running, lines},
    client::{Answer, Client, Direct},
    oauth::{Pair, Policy},
    origin::{Origin, empty},
    proxy::{Builder, Proxy, proxy},
};

const HOST: &str = "auth.example";

/// A `login` that waits for its person.
struct Login {
    process: Running,
    out: Lines,
    err: Lines,
    /// What it has said to the person so far.
    said: String,
}

impl Login {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped());
        let mut process = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let (out, err) = (process.stdout.take(), process.stderr.take());
        Self {
            process,
            out: lines(out.expect("piped")),
            err: lines(err.expect("piped")),
            said: String::new(),
        }
    }

    fn of(proxy: &Proxy, arguments: &[&str]) -> Self {
        Self::start(proxy.command(&[&["login"], arguments].concat()))
    }

    /// The next address that it prints.
    fn address(&mut self) -> String {
        tokio::task::block_in_place(|| {
            loop {
                let line = self.err.next().unwrap_or_else(|| panic!("{}", self.said));
                self.said.push_str(&line);
                if let Some(address) = line.strip_prefix("    ") {
                    return address.trim_end().to_owned();
                }
            }
        })
    }

    /// Its exit code, and all that it said: to the person, and on standard output.
    fn end(mut self) -> (i32, String, String) {
        tokio::task::block_in_place(|| {
            self.said.extend(&mut self.err);
            let out = self.out.collect();
            let code = self.process.end().code().expect("not ended by a signal");
            (code, self.said, out)
        })
    }

    /// It must have signed in.
    #[track_caller]
    fn good(self) -> String {
        let (code, said, out) = self.end();
        assert_eq!(code, 0, "{said}");
        let fresh = out.starts_with("signed in\napp") && out.contains(" fresh, ");
        assert!(fresh, "{out}");
        said + &out
    }

    /// It must have failed with this code, with all these words.
    #[track_caller]
    fn bad(self, expected: i32, words: &[&str]) -> String {
        let (code, said, out) = self.end();
        assert_eq!((code, &*out), (expected, ""), "{said}");
        for word in words {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
        said
    }
}

/// A site where people consent, and somebody who is signed in there.
async fn site() -> (Authority, Origin, Pair) {
    let authority = Authority::new(Policy::lifetime(3600.0));
    let pair = authority.login();
    let origin = authority.site_of_people(HOST).start().await;
    (authority, origin, pair)
}

/// A session of it that holds this pair, with more of its `login`.
fn holding(origin: &Origin, pair: &Pair, login: &str) -> Builder {
    let config = format!(
        "{}\n[session.app.login]\n{login}\n",
        session("app", HOST, "")
    );
    proxy()
        .site(origin)
        .config(config)
        .env("ACCESS", &pair.access)
        .env("REFRESH", &pair.refresh)
}

/// The authorization endpoint, as configuration.
fn endpoint() -> String {
    format!("authorization_endpoint = \"https://{HOST}/authorize\"")
}

/// The browser at the site: signs in and consents, and returns where it is sent.
async fn consents(origin: &Origin, address: &str) -> String {
    let answer = Client::direct(origin).get(address).await.expect(302);
    answer.field("location").expect("a redirect").to_owned()
}

/// The browser on this machine: asks the loopback address it was sent to.
async fn comes(address: &str) -> Answer {
    let url: http::Uri = address.parse().unwrap();
    let to = url
        .authority()
        .unwrap()
        .as_str()
        .replace("localhost", "127.0.0.1");
    let to: SocketAddr = to.parse().unwrap();
    let mut request = Request::get(address).body(empty()).unwrap();
    request.extensions_mut().insert(Direct);
    Client::to(to).send(request).await
}

/// No secret was shown, in any form.
fn nothing_secret(authority: &Authority, said: &str) {
    let mut secrets = authority.consent().with(|state| state.secrets.clone());
    assert!(!secrets.is_empty());
    secrets.extend(authority.with(|oauth| oauth.issued.clone()));
    for secret in &secrets {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}
