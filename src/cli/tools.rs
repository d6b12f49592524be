//! What `run` and `env` need to know to lead a tool through a proxy: where, as whom, trusting what.

use std::{net::SocketAddr, path::Path};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;

use super::{error::Error, run::environment::Vars};
use crate::{
    ca::Root,
    config::{Client, Config, Loaded, Variables},
    secret::Secret,
    upstream::roots::{Inherited, Params, Roots},
};

/// For whom a tool is led through the proxy.
#[derive(Debug)]
pub(super) struct Who(Option<Client>);

/// Finds out who it is: who was named, whose user id it is, or the only one there is.
pub(super) fn who(config: &Config, named: Option<&str>) -> Result<Who, Error> {
    let clients = &config.clients;
    if let Some(name) = named {
        let found = clients.iter().find(|client| &*client.name == name);
        let Some(client) = found else {
            let error = Error::asked(format!("there is no client {name}"));
            return Err(error.hint(names(config)));
        };
        return Ok(Who(Some(client.clone())));
    }
    let own = rustix::process::getuid().as_raw();
    let found = clients.iter().find(|client| client.uid == Some(own));
    match (found, &clients[..]) {
        (Some(client), _) | (None, [client]) => Ok(Who(Some(client.clone()))),
        (None, []) => Ok(Who(None)),
        (None, _) => {
            let error = Error::asked("there are several clients: which one is it for?");
            Err(error.hint(format!("add --client; {}", names(config))))
        }
    }
}

/// Says which clients there are.
pub(super) fn names(config: &Config) -> String {
    let names: Vec<&str> = config.clients.iter().map(|client| &*client.name).collect();
    if names.is_empty() {
        "the configuration has no [clients.NAME]".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    }
}

/// Returns where a tool connects to, of the addresses that a proxy listens on; `None` if it could not.
pub(super) fn address(listen: &[String], who: &Who) -> Option<SocketAddr> {
    if let Who(Some(Client {
        port: Some(port), ..
    })) = who
    {
        return Some(SocketAddr::from(([127, 0, 0, 1], *port)));
    }
    listen.iter().find_map(|listen| listen.parse().ok())
}

/// Returns name and password for the running proxy, if it asks for them.
pub(super) fn login(
    loaded: &Loaded,
    who: &Who,
    variables: &Variables,
) -> Result<Option<(String, Secret)>, Error> {
    let own = rustix::process::getuid().as_raw();
    match &who.0 {
        None | Some(Client { port: Some(_), .. }) => Ok(None),
        Some(client) if client.uid == Some(own) => Ok(None),
        Some(client) => {
            let password = loaded.client_password(&client.name, variables)?;
            Ok(password.map(|password| (client.name.to_string(), password)))
        }
    }
}

/// Returns the environment of this process.
pub(super) fn inherited(variables: &Variables) -> Vars {
    let pairs = variables.iter();
    pairs
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Draws the password of one run.
pub(super) fn password() -> Secret {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source must answer");
    Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Returns the system's own roots, without the CA in this file. What the environment names is merged where the tool would have read it.
pub(super) fn system_roots(ca: &Path) -> Vec<CertificateDer<'static>> {
    let own = Root::own(ca.parent().unwrap_or(Path::new(".")));
    let params = Params {
        inherited: Inherited::default(),
        extra: &[],
        own: &own,
        whole: true,
    };
    Roots::load(&params)
        .map(|roots| roots.certificates)
        .unwrap_or_default()
}

// === impl Who ===

impl Who {
    pub(super) fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|client| &*client.name)
    }
}
