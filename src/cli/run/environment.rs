//! The variables that lead a tool through the proxy and make it trust our CA. Which tool reads which was tried with
//! each; no two agree.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::CertificateDer;

use super::{Folder, bundle, java, no_proxy::NoProxy, tool};
use crate::{rule::HostPattern, secret::Secret};

/// Variables of a process by name.
pub type Vars = BTreeMap<OsString, OsString>;

/// What the environment is made from.
#[derive(Debug)]
pub struct Params<'a> {
    /// The environment of this process.
    pub inherited: &'a Vars,
    /// Where the proxy listens; an unspecified address stands for loopback.
    pub proxy: SocketAddr,
    /// Name and password at the proxy, if it asks for them.
    pub login: Option<(&'a str, &'a Secret)>,
    pub ca: &'a CertificateDer<'static>,
    /// The system's roots, for variables that name no bundle of their own.
    pub roots: &'a [CertificateDer<'static>],
    /// The hosts that sessions are bound to.
    pub bound: &'a [HostPattern],
    /// Variables that are sources of secrets (`env:NAME`): the tool does not get them.
    pub sources: &'a [String],
    pub folder: &'a Folder,
}

/// What a tool's environment differs in from ours. It may hold the run's password at the proxy.
#[derive(Default)]
pub struct Environment {
    pub set: Vars,
    pub unset: Vec<OsString>,
    pub notes: Vec<Note>,
    bundle: PathBuf,
}

/// What its user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Entries of `NO_PROXY` that would lead past the proxy.
    Dropped(Vec<String>),
    /// A variable names a bundle that cannot be read; the system's roots stand in.
    Unread(&'static str, OsString),
    /// `JAVA_TOOL_OPTIONS` names a trust store, which cannot be extended.
    TrustStore,
}

/// Both cases: which one a tool reads, and which wins, differs.
const PROXY: [&str; 6] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
];
/// Proxies of single tools, which would win: ours in their place, where they are set.
const TOOLS_PROXY: [&str; 12] = [
    "PIP_PROXY",
    "CARGO_HTTP_PROXY",
    "npm_config_proxy",
    "npm_config_http_proxy",
    "npm_config_https_proxy",
    "NPM_CONFIG_PROXY",
    "NPM_CONFIG_HTTP_PROXY",
    "NPM_CONFIG_HTTPS_PROXY",
    "YARN_HTTP_PROXY",
    "YARN_HTTPS_PROXY",
    "grpc_proxy",
    "GRPC_PROXY",
];
const TOOLS_NO_PROXY: [&str; 4] = [
    "npm_config_noproxy",
    "NPM_CONFIG_NOPROXY",
    "no_grpc_proxy",
    "NO_GRPC_PROXY",
];
/// Name a bundle that replaces what the tool trusts.
const BUNDLE: [&str; 14] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "npm_config_cafile",
    "HTTPLIB2_CA_CERTS",
    "NIX_SSL_CERT_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "COMPOSER_CAFILE",
    "PERL_LWP_SSL_CA_FILE",
];
/// Name certificates that are added to what the tool trusts.
const EXTRA: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];
/// wget's own settings, by system; `SYSTEM_WGETRC` replaces them.
const WGETRC: [&str; 3] = [
    "/etc/wgetrc",
    "/opt/homebrew/etc/wgetrc",
    "/usr/local/etc/wgetrc",
];
const NODE: &str = include_str!("node_proxy.cjs");

// === impl Environment ===

impl Environment {
    /// Makes the environment, and its files in the folder.
    pub fn new(params: &Params<'_>) -> io::Result<Self> {
        let mut made = Self {
            unset: params.sources.iter().map(OsString::from).collect(),
            ..Self::default()
        };
        let direct = made.way(params);
        made.trust(params)?;
        made.wget(params)?;
        made.node(params)?;
        made.java(params, &direct)?;
        let set = &made.set;
        made.unset.retain(|name| !set.contains_key(name));
        Ok(made)
    }

    /// Returns the command line, with an option more where no variable is read.
    pub fn argv(&self, argv: &[OsString]) -> Vec<OsString> {
        tool::adapted(argv, &self.bundle)
    }

    /// Returns lines for a POSIX shell's `eval`.
    pub fn lines(&self) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut out = Vec::new();
        // A shell can neither hold nor unset a variable of another shape.
        let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let names = self
            .unset
            .iter()
            .filter(|name| name.as_bytes().iter().all(plain));
        for name in names {
            out.extend([b"unset ", name.as_bytes(), b"\n"].concat());
        }
        for (name, value) in &self.set {
            let value: Vec<u8> = value
                .as_bytes()
                .iter()
                .flat_map(|b| {
                    if *b == b'\'' {
                        &b"'\\''"[..]
                    } else {
                        std::slice::from_ref(b)
                    }
                })
                .copied()
                .collect();
            out.extend([b"export ", name.as_bytes(), b"='", &value, b"'\n"].concat());
        }
        out
    }

    fn put(&mut self, name: &str, value: impl Into<OsString>) {
        self.set.insert(name.into(), value.into());
    }

    /// The way to the proxy; returns what goes past it.
    fn way(&mut self, params: &Params<'_>) -> Vec<String> {
        let url = url(params);
        for name in PROXY {
            self.put(name, &url);
        }
        for name in TOOLS_PROXY {
            if params.inherited(name).is_some() {
                self.put(name, &url);
            }
        }
        // git prefers `http.proxy` of a configuration file to the variables; this comes before all files.
        let count = params.inherited("GIT_CONFIG_COUNT");
        let count = count
            .and_then(|n| n.to_str()?.parse::<u32>().ok())
            .unwrap_or(0);
        self.put("GIT_CONFIG_COUNT", (count + 1).to_string());
        self.put(&format!("GIT_CONFIG_KEY_{count}"), "http.proxy");
        self.put(&format!("GIT_CONFIG_VALUE_{count}"), &url);

        let lists = ["NO_PROXY", "no_proxy"].map(|name| {
            let list = params.inherited(name).unwrap_or_default();
            list.to_string_lossy().into_owned()
        });
        let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
        let NoProxy { entries, dropped } = NoProxy::new(&lists, params.bound);
        let list = entries.join(",");
        for name in ["NO_PROXY", "no_proxy"] {
            self.put(name, &list);
        }
        for name in TOOLS_NO_PROXY {
            if params.inherited(name).is_some() {
                self.put(name, &list);
            }
        }
        if !dropped.is_empty() {
            self.notes.push(Note::Dropped(dropped));
        }
        entries
    }

    /// The bundles. A variable that names one gets that one and our CA; the others the system's roots and our CA.
    fn trust(&mut self, params: &Params<'_>) -> io::Result<()> {
        let mut made: BTreeMap<Option<OsString>, PathBuf> = BTreeMap::new();
        for name in BUNDLE {
            // What stands in for the system's roots stands in for all that has no bundle of its own.
            let named = params.inherited(name).or(params.inherited("SSL_CERT_FILE"));
            let read = named.and_then(|path| bundle::read(Path::new(path)));
            if let (Some(path), None) = (params.inherited(name), &read) {
                self.notes.push(Note::Unread(name, path.to_owned()));
            }
            let key = named.filter(|_| read.is_some()).map(OsStr::to_owned);
            let path = match made.get(&key) {
                Some(path) => path.clone(),
                None => {
                    let base = read.as_deref().unwrap_or(params.roots);
                    let text = bundle::pem(&bundle::merged(base, params.ca));
                    let file = format!("bundle{}.pem", made.len());
                    let path = params.folder.write(&file, text.as_bytes())?;
                    made.insert(key, path.clone());
                    path
                }
            };
            if name == "SSL_CERT_FILE" {
                self.bundle.clone_from(&path);
            }
            self.put(name, path);
        }
        for name in EXTRA {
            let named = params.inherited(name).map(Path::new);
            let base = named.and_then(bundle::read).unwrap_or_default();
            let text = bundle::pem(&bundle::merged(&base, params.ca));
            let path = params
                .folder
                .write(&format!("{name}.pem"), text.as_bytes())?;
            self.put(name, path);
        }
        Ok(())
    }

    fn wget(&mut self, params: &Params<'_>) -> io::Result<()> {
        let named = params.inherited("SYSTEM_WGETRC").map(Path::new);
        let system = WGETRC.iter().map(Path::new).find(|path| path.exists());
        let mut text = named
            .or(system)
            .and_then(|path| fs::read(path).ok())
            .unwrap_or_default();
        text.extend(format!("\nca_certificate = {}\n", self.bundle.display()).bytes());
        let path = params.folder.write("wgetrc", &text)?;
        self.put("SYSTEM_WGETRC", path);
        Ok(())
    }

    fn node(&mut self, params: &Params<'_>) -> io::Result<()> {
        self.put("NODE_USE_ENV_PROXY", "1");
        let path = params.folder.write("node_proxy.cjs", NODE.as_bytes())?;
        let mut options = params
            .inherited("NODE_OPTIONS")
            .unwrap_or_default()
            .to_owned();
        if !options.is_empty() {
            options.push(" ");
        }
        let path = path
            .to_string_lossy()
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        options.push(format!("--require \"{path}\""));
        self.put("NODE_OPTIONS", options);
        Ok(())
    }

    fn java(&mut self, params: &Params<'_>, direct: &[String]) -> io::Result<()> {
        let inherited = params.inherited("JAVA_TOOL_OPTIONS").unwrap_or_default();
        let inherited = inherited.to_string_lossy();
        let base = bundle::read(&self.bundle).unwrap_or_default();
        let store = java::trust_store(&bundle::merged(&base, params.ca));
        let path = params.folder.write("trust.jks", &store)?;
        let options = java::options(&inherited, address(params), direct, &path.to_string_lossy());
        if !options.contains(&*path.to_string_lossy()) {
            self.notes.push(Note::TrustStore);
        }
        self.put("JAVA_TOOL_OPTIONS", options);
        Ok(())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("set", &self.set.keys())
            .field("unset", &self.unset)
            .finish_non_exhaustive()
    }
}

// === impl Params ===

impl Params<'_> {
    /// Returns an inherited variable; an empty one counts as unset.
    fn inherited(&self, name: &str) -> Option<&OsStr> {
        let value = self.inherited.get(OsStr::new(name))?;
        Some(value.as_os_str()).filter(|value| !value.is_empty())
    }
}

fn address(params: &Params<'_>) -> SocketAddr {
    let ip = match params.proxy.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, params.proxy.port())
}

fn url(params: &Params<'_>) -> String {
    let address = address(params);
    match params.login {
        None => format!("http://{address}"),
        Some((name, password)) => {
            let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
            let password = utf8_percent_encode(password.expose(), NON_ALPHANUMERIC);
            format!("http://{name}:{password}@{address}")
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped(entries) => write!(
                f,
                "NO_PROXY without {}, which would lead past the proxy",
                entries.join(", ")
            ),
            Self::Unread(name, path) => write!(
                f,
                "{name} names {}, which holds no certificates: the system's are used",
                path.display()
            ),
            Self::TrustStore => f.write_str(
                "JAVA_TOOL_OPTIONS names a trust store: Java will trust intercepted hosts only if it holds our CA",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
