//! The environment of `run`, judged by the tools it is made for: each fetches from hosts that exist only behind a
//! small proxy, which shows that it went there and that it trusts our CA.

/// A proxy that answers for every host itself.
mod proxy;
/// Node before it had a proxy of its own, and Java.
mod runtimes;
/// Tools that read variables.
mod tools;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
};

use staysigned::{
    ca::{Ca, Params},
    cli::run::{
        Folder,
        environment::{self, Environment},
    },
    env::Env,
    secret::Secret,
};
use tempfile::TempDir;

/// A tool's surroundings: nothing inherited but where programs lie.
struct Place {
    home: TempDir,
    environment: Environment,
    _folder: Folder,
}

const LOGIN: (&str, &str) = ("alice", "run:t@ken");

impl Place {
    /// Starts a proxy that asks for a login or does not, and makes the environment that leads to it.
    async fn new(login: bool) -> Self {
        let home = TempDir::new().unwrap();
        let certs = home.path().join("certs");
        let params = Params {
            folder: &certs,
            constrain: None,
            leaves: 16,
        };
        let ca = Ca::open(&params, Env::real()).unwrap();
        let der = ca.root().der().clone();
        let proxy = proxy::run(ca, login.then_some(LOGIN)).await;
        let folder = Folder::temporary().unwrap();
        let environment = environment(proxy, login, &der, &folder);
        Self {
            home,
            environment,
            _folder: folder,
        }
    }

    fn run(&self, argv: &[&str]) -> Output {
        let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
        let argv = self.environment.argv(&argv);
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).env_clear();
        for name in ["PATH", "PYENV_VERSION", "JAVA_HOME"] {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", self.home())
            .envs(&self.environment.set)
            .current_dir(self.home());
        crate::support::tool::output(&mut command)
    }

    /// Runs a tool that must succeed, and returns what it wrote.
    #[track_caller]
    fn succeeds(&self, argv: &[&str]) -> String {
        let output = self.run(argv);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{argv:?}: {complained}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn home(&self) -> &Path {
        self.home.path()
    }
}

fn environment(
    proxy: SocketAddr,
    login: bool,
    ca: &rustls::pki_types::CertificateDer<'static>,
    folder: &Folder,
) -> Environment {
    let password = Secret::from(LOGIN.1);
    Environment::new(&environment::Params {
        inherited: &BTreeMap::new(),
        proxy,
        login: login.then_some((LOGIN.0, &password)),
        ca,
        roots: &[],
        bound: &[],
        sources: &[],
        folder,
    })
    .unwrap()
}
