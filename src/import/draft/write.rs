//! The draft as TOML. No line that would hold a value of the recording is written.

use super::{
    Findings,
    hosts::{self, Bind},
    secrets::Secrets,
    tokens::{ClientAuth, Endpoint, From, Grant},
};
use crate::origin::Scheme;

/// The lines of a draft, and what its user has to give.
struct Lines {
    top: Vec<String>,
    tables: Vec<String>,
    params: Vec<String>,
    secrets: Vec<String>,
    notes: Vec<String>,
}

/// Writes the file; returns it and what a person should look at.
pub(super) fn write(
    findings: &Findings,
    site: &str,
    requests: usize,
    secrets: &Secrets,
) -> (String, Vec<String>) {
    let mut lines = Lines {
        top: Vec::new(),
        tables: Vec::new(),
        params: Vec::new(),
        secrets: Vec::new(),
        notes: Vec::new(),
    };
    lines.bind(&findings.binds);
    lines.serial(findings);
    lines.injects(findings);
    lines.cookies(findings);
    lines.rejected(findings);
    lines.refresh(findings);
    lines.blocks(findings);
    let Lines {
        mut top,
        tables,
        params,
        secrets: asked,
        notes,
    } = lines;
    if !params.is_empty() {
        let params: Vec<_> = params
            .iter()
            .map(|name| format!("{name} = {{ required = true }}"))
            .collect();
        top.insert(0, format!("params = {{ {} }}", params.join(", ")));
        top.insert(1, String::new());
    }
    let mut text = head(&hosts::name(site), requests, &params, &asked);
    for line in top.into_iter().chain(tables) {
        if secrets.is_in(&line) {
            text.push_str("# left out: a line with a value of the recording\n");
        } else {
            text.push_str(&line);
            text.push('\n');
        }
    }
    (text, notes)
}

fn head(name: &str, requests: usize, params: &[String], secrets: &[String]) -> String {
    let mut head = format!(
        "# Drafted from a recording of {requests} requests. A draft is a guess: read it, narrow `bind`, try it.\n#\n\
         # It lies as providers/{name}.toml beside config.toml, which says:\n#\n\
         #     [session.{name}]\n#     provider = \"{name}\"\n"
    );
    if !params.is_empty() {
        let values: Vec<_> = params
            .iter()
            .map(|name| format!("{name} = \"…\""))
            .collect();
        head += &format!("#     values = {{ {} }}\n", values.join(", "));
    }
    if !secrets.is_empty() {
        let secrets: Vec<_> = secrets
            .iter()
            .map(|name| format!("{name} = \"env:{}\"", name.to_ascii_uppercase()))
            .collect();
        head += &format!("#     secrets = {{ {} }}\n", secrets.join(", "));
    }
    head += &format!(
        "#\n# Then: staysigned check; staysigned import {name} --from har RECORDING; staysigned check URL\n\n"
    );
    head
}

// === impl Lines ===

impl Lines {
    fn bind(&mut self, binds: &[Bind]) {
        self.top
            .push("# Where the credential may go, and nowhere else.".to_owned());
        self.top.push("bind = [".to_owned());
        for bind in binds {
            let origin = &bind.origin;
            let mut keys = format!("host = {}", quoted(&origin.host.to_string()));
            if origin.scheme == Scheme::Http {
                keys += ", scheme = \"http\"";
            }
            if origin.port != origin.scheme.default_port() {
                keys += &format!(", port = {}", origin.port);
            }
            if let Some(path) = &bind.path {
                keys += &format!(", path = {}", quoted(path));
            }
            self.top.push(format!("    {{ {keys} }},"));
        }
        self.top.push("]".to_owned());
    }

    fn serial(&mut self, findings: &Findings) {
        let rotating: Vec<_> = findings
            .cookies
            .iter()
            .filter(|c| c.values > 2)
            .map(|c| c.name.as_str())
            .collect();
        if !rotating.is_empty() {
            self.top.push(
                "# If the site voids an old cookie as soon as there is a new one:".to_owned(),
            );
            self.top.push("# concurrency = \"serial\"".to_owned());
            self.notes.push(format!(
                "it rotates {}: if it voids the old one at once, it needs concurrency = \"serial\"",
                rotating.join(", ")
            ));
        }
    }

    fn table(&mut self, header: &str, lines: impl IntoIterator<Item = String>) {
        self.tables.push(String::new());
        self.tables.push(header.to_owned());
        self.tables.extend(lines);
    }

    fn injects(&mut self, findings: &Findings) {
        for inject in &findings.injects {
            let value = match &inject.from {
                From::Token => "{{ access_token }}".to_owned(),
                From::Cookie {
                    name,
                    decoded: false,
                } => format!("{{{{ cookies['{name}'] }}}}"),
                From::Cookie {
                    name,
                    decoded: true,
                } => {
                    format!("{{{{ cookies['{name}'] | url_decode }}}}")
                }
            };
            let lines = [
                format!("header = {}", quoted(&inject.header)),
                format!("value = {}", quoted(&format!("{}{value}", inject.before))),
            ];
            self.table("[[inject]]", lines);
        }
    }

    fn cookies(&mut self, findings: &Findings) {
        if findings.cookies.is_empty() {
            return;
        }
        let names: Vec<_> = findings.cookies.iter().map(|c| quoted(&c.name)).collect();
        let mut lines = vec![format!("required = [{}]", names.join(", "))];
        let rotating: Vec<_> = findings
            .cookies
            .iter()
            .filter(|c| c.values > 1)
            .map(|c| c.name.as_str())
            .collect();
        if !rotating.is_empty() {
            lines.insert(
                0,
                format!("# Set anew while it was recorded: {}", rotating.join(", ")),
            );
        }
        self.table("[cookies]", lines);
    }

    fn rejected(&mut self, findings: &Findings) {
        for (status, path) in &findings.logins {
            let lines = [
                format!("status = [{status}]"),
                format!("location = {}", quoted(path)),
            ];
            self.table("[[rejected]]", lines);
        }
        if findings.logins.is_empty() {
            self.notes.push(
                "no redirect to a login was recorded: if the site answers so when one is signed out, add a [[rejected]] (401 needs none)"
                    .to_owned(),
            );
        }
    }

    fn refresh(&mut self, findings: &Findings) {
        match (&findings.endpoint, &findings.touch) {
            (Some(endpoint), _) if endpoint.grant != Grant::Login || endpoint.refresh.is_some() => {
                self.oauth2(endpoint);
            }
            (_, Some(url)) => {
                let lines = [
                    "kind = \"touch\"".to_owned(),
                    format!("url = {}", quoted(url)),
                ];
                self.table("[refresh]", lines);
            }
            _ => {
                let lines = [
                    "# Nothing that renews was recorded. If a browser stays signed in: kind = \"import\", from = \"firefox\"".to_owned(),
                    "kind = \"none\"".to_owned(),
                ];
                self.table("[refresh]", lines);
                self.notes
                    .push("nothing that renews the session was recorded: see [refresh]".to_owned());
            }
        }
        if let Some(endpoint) = &findings.endpoint {
            self.capture(endpoint);
        }
    }

    fn oauth2(&mut self, endpoint: &Endpoint) {
        let mut lines = vec![
            "kind = \"oauth2\"".to_owned(),
            format!(
                "token_url = {}",
                quoted(&format!("{}{}", bare(&endpoint.origin), endpoint.path))
            ),
        ];
        let own = endpoint.grant == Grant::ClientCredentials;
        if own {
            lines.push("grant_type = \"client_credentials\"".to_owned());
        } else {
            self.secrets.push("refresh_token".to_owned());
        }
        if endpoint.has_client_id {
            self.params.push("client_id".to_owned());
        }
        let word = match endpoint.client {
            ClientAuth::Basic => "basic",
            ClientAuth::Post => "post",
            ClientAuth::None => "none",
        };
        if endpoint.client != ClientAuth::None {
            self.secrets.push("client_secret".to_owned());
        }
        lines.push(format!("client_auth = \"{word}\""));
        if endpoint.json {
            lines.push("encoding = \"json\"".to_owned());
        }
        let mut params = Vec::new();
        if let Some(spends) = &endpoint.spends {
            params.push(format!(
                "{} = \"{{{{ refresh_token }}}}\", refresh_token = \"\"",
                key(spends)
            ));
        }
        if !endpoint.has_grant_type && endpoint.grant == Grant::Refresh {
            params.push("grant_type = \"\"".to_owned());
        }
        for (name, word) in &endpoint.others {
            let value = match word {
                Some(word) => word.clone(),
                None => {
                    let param = snake(name);
                    let value = format!("{{{{ {param} }}}}");
                    self.params.push(param);
                    value
                }
            };
            params.push(format!("{} = {}", key(name), quoted(&value)));
        }
        if !params.is_empty() {
            lines.push(format!("params = {{ {} }}", params.join(", ")));
        }
        lines.push(format!(
            "answer = {{ {} }}",
            places(endpoint, |pointer| format!("[{}]", quoted(pointer)))
        ));
        self.table("[refresh]", lines);
        if endpoint.grant == Grant::Login {
            self.notes.push(
                "a login was recorded, and no renewal: how the token is renewed is a guess"
                    .to_owned(),
            );
        }
    }

    /// Logins and refreshes of clients teach the session.
    fn capture(&mut self, endpoint: &Endpoint) {
        let path = endpoint.path.split('?').next().unwrap_or_default();
        let lines = [
            "# What a client gets there itself is learnt.".to_owned(),
            format!(
                "match = {{ host = {}, path = {}, methods = [\"POST\"] }}",
                quoted(&endpoint.host),
                quoted(path)
            ),
            format!(
                "answer = {{ {} }}",
                places(endpoint, |pointer| format!(
                    "{{ json = {} }}",
                    quoted(pointer)
                ))
            ),
        ];
        if endpoint.origin.starts_with("https:") {
            self.table("[[capture]]", lines);
        }
    }

    fn blocks(&mut self, findings: &Findings) {
        for (host, path) in &findings.logouts {
            let lines = [format!(
                "match = {{ host = {}, path = {} }}",
                quoted(host),
                quoted(path)
            )];
            self.table("[[block]]", lines);
        }
    }
}

fn places(endpoint: &Endpoint, place: impl Fn(&str) -> String) -> String {
    let fields = [
        ("access_token", Some(&endpoint.access)),
        ("refresh_token", endpoint.refresh.as_ref()),
        ("expires_in", endpoint.expires.as_ref()),
    ];
    let fields = fields
        .into_iter()
        .filter_map(|(field, pointer)| Some(format!("{field} = {}", place(pointer?))));
    fields.collect::<Vec<_>>().join(", ")
}

/// Leaves out a port that goes without saying.
pub(super) fn bare(origin: &str) -> &str {
    let plain = |scheme, port| {
        origin
            .strip_suffix(port)
            .filter(|_| origin.starts_with(scheme))
    };
    plain("https:", ":443")
        .or_else(|| plain("http:", ":80"))
        .unwrap_or(origin)
}

/// Writes a key of TOML.
fn key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    match !name.is_empty() && name.bytes().all(bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

/// Writes a name as those of values are: `deviceId` as `device_id`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut small = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && small {
            snake.push('_');
        }
        small = c.is_ascii_lowercase() || c.is_ascii_digit();
        snake.push(if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        });
    }
    snake
}

/// Writes a string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04X}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
