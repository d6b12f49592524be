//! The exchanges of a recording of traffic (HAR 1.2), as far as anybody here looks at them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    Error,
    json::{Top, top},
    once,
};
use crate::origin::{Authority, Origin, Scheme};

/// One request and its answer.
pub(super) struct Exchange {
    pub(super) method: String,
    pub(super) origin: Origin,
    /// Without the query.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    /// Names in lower case.
    pub(super) request: Vec<(String, String)>,
    pub(super) sent: Sent,
    pub(super) status: u16,
    pub(super) response: Vec<(String, String)>,
    /// The answer's body, if it is JSON.
    pub(super) json: Option<Value>,
    /// The answer's body is JSON, and the recording has none.
    pub(super) lacks_json: bool,
    pub(super) is_html: bool,
}

/// The body of a request.
pub(super) enum Sent {
    Nothing,
    Form(Vec<(String, String)>),
    Json(Value),
}

/// Reads a recording; what is not HTTP (`data:`, `blob:`) is left out.
pub(super) fn read(text: &[u8]) -> Result<Vec<Exchange>, Error> {
    let entries = entries(text)?;
    let all = entries.iter().enumerate();
    all.filter_map(|(n, entry)| exchange(n, entry)).collect()
}

/// Returns the entries of a recording.
pub(super) fn entries(text: &[u8]) -> Result<Vec<Value>, Error> {
    let Top::Object(entries) = top(text)? else {
        return Err(Error::Shape);
    };
    once::keys(&entries)?;
    let log = entries.into_iter().find(|(key, _)| key == "log");
    match log.and_then(|(_, mut log)| Some(log.get_mut("entries")?.take())) {
        Some(Value::Array(entries)) => Ok(entries),
        _ => Err(Error::Shape),
    }
}

fn exchange(n: usize, entry: &Value) -> Option<Result<Exchange, Error>> {
    let (request, response) = (&entry["request"], &entry["response"]);
    let Some(url) = request["url"].as_str() else {
        return Some(Err(Error::Entry {
            place: format!("log.entries[{n}]"),
            problem: "it has no request.url".to_owned(),
        }));
    };
    let (origin, path) = origin(url)?;
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let response_fields = lower(response);
    let mime = response["content"]["mimeType"].as_str().unwrap_or_default();
    let is_html = mime.starts_with("text/html");
    let json = (mime.contains("json") || mime.is_empty())
        .then(|| content(&response["content"]))
        .flatten();
    Some(Ok(Exchange {
        method: request["method"].as_str().unwrap_or("GET").to_owned(),
        origin,
        path,
        query: form(query),
        request: lower(request),
        sent: sent(&request["postData"]),
        status: response["status"]
            .as_u64()
            .and_then(|status| status.try_into().ok())
            .unwrap_or_default(),
        response: response_fields,
        json,
        lacks_json: mime.contains("json") && !response["content"]["text"].is_string(),
        is_html,
    }))
}

fn content(content: &Value) -> Option<Value> {
    let text = content["text"].as_str()?;
    match content["encoding"].as_str() {
        Some("base64") => serde_json::from_slice(&STANDARD.decode(text).ok()?).ok(),
        _ => serde_json::from_str(text).ok(),
    }
}

fn sent(data: &Value) -> Sent {
    let mime = data["mimeType"].as_str().unwrap_or_default();
    let text = data["text"].as_str().unwrap_or_default();
    if mime.contains("json") {
        return serde_json::from_str(text).map_or(Sent::Nothing, Sent::Json);
    }
    if !mime.contains("form-urlencoded") {
        return Sent::Nothing;
    }
    let params = data["params"].as_array().into_iter().flatten();
    let params: Vec<(String, String)> = params
        .filter_map(|param| {
            let text = |key: &str| param[key].as_str().map(str::to_owned);
            Some((text("name")?, text("value")?))
        })
        .collect();
    match text {
        "" => Sent::Form(params),
        text => Sent::Form(form(text)),
    }
}

fn form(text: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn lower(message: &Value) -> Vec<(String, String)> {
    fields(message)
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect()
}

/// Returns the fields of a message.
pub(super) fn fields(message: &Value) -> impl Iterator<Item = (&str, &str)> {
    let fields = message["headers"].as_array().into_iter().flatten();
    fields.filter_map(|field| Some((field["name"].as_str()?, field["value"].as_str()?)))
}

/// Splits a URL; `None`: it is not one of HTTP.
pub(super) fn origin(url: &str) -> Option<(Origin, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme: Scheme = match scheme {
        "wss" => Scheme::Https,
        "ws" => Scheme::Http,
        scheme => scheme.parse().ok()?,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest[..end].rsplit('@').next().unwrap_or_default();
    let Authority { host, port } = authority.parse().ok()?;
    let path = rest[end..].split(['?', '#']).next().unwrap_or_default();
    let path = if path.is_empty() { "/" } else { path };
    let port = port.unwrap_or(scheme.default_port());
    Some((Origin { scheme, host, port }, path.to_owned()))
}

// === impl Exchange ===

impl Exchange {
    /// Returns a field of the request.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.request.iter();
        fields
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the cookies of the request.
    pub(super) fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.request.iter().filter(|(name, _)| name == "cookie");
        let pairs = fields.flat_map(|(_, value)| value.split(';'));
        pairs.filter_map(|pair| pair.trim().split_once('='))
    }

    /// Returns the `Set-Cookie` fields of the answer: name, value, and the attributes in lower case.
    pub(super) fn set_cookies(&self) -> impl Iterator<Item = (&str, &str, String)> {
        let fields = self
            .response
            .iter()
            .filter(|(name, _)| name == "set-cookie");
        // Chrome puts several into one value.
        fields
            .flat_map(|(_, value)| value.lines())
            .filter_map(|line| {
                let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
                let (name, value) = pair.trim().split_once('=')?;
                Some((name, value, attributes.to_ascii_lowercase()))
            })
    }

    /// Returns the path of the answer's `Location`, and whether that is on a host of the same site.
    pub(super) fn leads_to(&self) -> Option<String> {
        if !(300..400).contains(&self.status) {
            return None;
        }
        let (_, to) = self.response.iter().find(|(name, _)| name == "location")?;
        match origin(to) {
            Some((_, path)) => Some(path),
            None => {
                let path = to.split(['?', '#']).next().unwrap_or_default();
                path.starts_with('/').then(|| path.to_owned())
            }
        }
    }
}
