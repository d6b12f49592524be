//! Firefox's session file, where cookies are that end with the browser.
//!
//! `mozLz40`, a zero, the length in four bytes, one LZ4 block of JSON. While the browser runs it is
//! `sessionstore-backups/recovery.jsonlz4`, afterwards `sessionstore.jsonlz4`. It is the browser's own convenience:
//! where it is missing or damaged, there are just no such cookies.

use std::path::Path;

use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    Found, Row, copy,
    firefox::{Attributes, Container, same_site},
    lz4,
};
use crate::secret::Secret;

const FILES: [&str; 3] = [
    "sessionstore-backups/recovery.jsonlz4",
    "sessionstore-backups/recovery.baklz4",
    "sessionstore.jsonlz4",
];

const MAGIC: &[u8; 8] = b"mozLz40\0";

pub(super) fn read(
    folder: &Path,
    container: &Container,
    wanted: &dyn Fn(&str) -> bool,
    found: &mut Found,
) {
    let mut there = false;
    for name in FILES {
        let Ok(bytes) = copy::read(&folder.join(name)) else {
            continue;
        };
        there = true;
        let json = unpacked(&bytes);
        let json: Option<Value> = json.and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(json) = json {
            return cookies(&json, container, wanted, found);
        }
    }
    if there {
        let what = "may be missing: the file of Firefox's session is damaged";
        found.troubles.add(what, None);
    }
}

/// Unpacks a file of this format.
pub(super) fn unpacked(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, block) = rest.split_first_chunk::<4>()?;
    let length = u64::from(u32::from_le_bytes(*length)).min(copy::LARGEST);
    lz4::unpack(block, usize::try_from(length).ok()?)
}

fn cookies(json: &Value, container: &Container, wanted: &dyn Fn(&str) -> bool, found: &mut Found) {
    for cookie in json["cookies"].as_array().into_iter().flatten() {
        let text = |key: &str| cookie[key].as_str();
        let Some(host) = text("host").filter(|host| wanted(host)) else {
            continue;
        };
        let mut attributes = Attributes::default();
        for (key, value) in cookie["originAttributes"].as_object().into_iter().flatten() {
            match value.as_str() {
                Some(value) => attributes.set(key, value, host),
                None => attributes.set(key, &value.to_string(), host),
            }
        }
        if !container.takes(&attributes, &mut found.troubles) {
            continue;
        }
        let (name, value) = (text("name"), text("value"));
        found.rows.push(Row {
            name: name.unwrap_or_default().as_bytes().to_vec(),
            value: Secret::new(value.unwrap_or_default().as_bytes().to_vec()),
            host: host.to_owned(),
            path: text("path").unwrap_or("/").to_owned(),
            expires: None,
            secure: cookie["secure"] == Value::Bool(true),
            http_only: cookie["httponly"] == Value::Bool(true),
            same_site: same_site(cookie["sameSite"].as_i64().unwrap_or_default()),
        });
    }
}
