//! Real tools, unmodified: by the variables they know, and by `staysigned run`.

mod big;
mod clients;
mod downloaders;
mod fetch;
mod git;
mod grpc;
mod packages;
mod resume;

use std::{path::PathBuf, process::Command};

use crate::support::{
    proxy::Proxy,
    tool::{Way, find, node, python, script, through},
};

/// A program that fetches a URL.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tool {
    Curl,
    Wget,
    Aria2,
    Requests,
    Httpx,
    Httpx2,
    Urllib,
    Node,
}

const TOOLS: [Tool; 8] = [
    Tool::Curl,
    Tool::Wget,
    Tool::Aria2,
    Tool::Requests,
    Tool::Httpx,
    Tool::Httpx2,
    Tool::Urllib,
    Tool::Node,
];

const WAYS: [Way; 2] = [Way::Variables, Way::Run];

impl Tool {
    fn program(self) -> PathBuf {
        match self {
            Self::Curl => find("curl"),
            Self::Wget => find("wget"),
            Self::Aria2 => find("aria2c"),
            Self::Node => node(),
            Self::Requests | Self::Httpx | Self::Httpx2 | Self::Urllib => python(),
        }
    }

    /// The exit status with which this tool says 404.
    fn not_found(self) -> i32 {
        match self {
            Self::Wget => 8,
            Self::Aria2 => 3,
            _ => 22,
        }
    }

    /// Fetches the URL into the file, or, when the tool is one of our scripts, to standard output.
    fn fetch(self, proxy: &Proxy, way: Way, url: &str, file: &str) -> Command {
        let library = match self {
            Self::Requests => "requests",
            Self::Httpx => "httpx",
            Self::Httpx2 => "httpx2",
            _ => "urllib",
        };
        let python = script("python/fetch.py");
        let node = script("node/fetch.mjs");
        let ca = format!("--ca-certificate={}", proxy.ca_path().display());
        let mut arguments = match self {
            Self::Curl => vec!["-sS", "-f", "-o", file, url],
            Self::Wget => vec!["-q", "-O", file, url],
            Self::Aria2 => vec!["-q", "--allow-overwrite", "-o", file, url],
            Self::Node => vec![node.to_str().expect("UTF-8"), url],
            _ => vec![python.to_str().expect("UTF-8"), library, url],
        };
        if self == Self::Aria2 && way == Way::Variables {
            // It knows no variable for this.
            arguments.insert(0, &ca);
        }
        through(proxy, way, &self.program(), &arguments)
    }

    fn prints(self) -> bool {
        !matches!(self, Self::Curl | Self::Wget | Self::Aria2)
    }
}
