//! Sign-ins on another device: a code that a person types in there (RFC 8628).

use std::time::Duration;

use super::{
    Error, Request, jwt,
    oauth2::{client, post, rendered},
    token::{self, Answer, Received, Why},
};
use crate::{
    origin::Origin,
    rule::{Encoding, Login, Oauth2, Url, template::Scope},
    secret::Secret,
};

/// How often it is asked where the server does not say (RFC 8628 §3.2), and the bounds of what it says.
const USUAL: Duration = Duration::from_secs(5);
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(60);
/// By how much `slow_down` makes it longer (§3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// No code is waited for any longer than this.
const LONGEST: Duration = Duration::from_secs(1800);
/// Bytes of what is shown.
const SHOWN: usize = 512;

/// What a person is told, and what is asked for meanwhile.
#[derive(Clone, Debug)]
pub struct Device {
    device_code: Secret,
    pub user_code: String,
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    pub expires_in: Duration,
    pub interval: Duration,
}

/// Why there is no device code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the authorization server refuses: {0}")]
    Server(String),
    #[error("not an answer to a request for a device code: {0}")]
    NotAnAnswer(String),
}

/// What came of asking once.
#[derive(Clone, Debug, PartialEq)]
pub enum Polled {
    Pending,
    /// Wait this much longer from now on.
    SlowDown(Duration),
    Denied,
    Expired,
    Answer(Answer),
}

/// Makes the request for a device code (RFC 8628 §3.1), which is a form whatever the token endpoint takes.
pub fn request(
    oauth2: &Oauth2,
    login: &Login,
    endpoint: &Url,
    scope: &Scope<'_>,
) -> Result<Request, Error> {
    let own = |name: &str| login.params.iter().any(|(own, _)| own == name);
    let mut pairs = client(oauth2.client_auth, scope, own)?;
    if let Some(scope) = login.scope.as_ref().filter(|_| !own("scope")) {
        pairs.push(("scope".to_owned(), scope.clone()));
    }
    pairs.extend(rendered(&login.params, scope)?);
    post(oauth2, endpoint, Encoding::Form, pairs, scope)
}

/// Reads the answer (§3.2). What is shown to people has no character that a terminal would act on.
pub fn read(received: Received<'_>) -> Result<Device, Refused> {
    let wrong = |what: &str| Refused::NotAnAnswer(what.to_owned());
    let json = token::document(received.headers, received.body);
    let json = json.ok_or_else(|| wrong("no JSON"))?;
    if !received.status.is_success() {
        let code = token::codes(&json).next().map(str::to_owned);
        let status = || wrong(&format!("status {}", received.status.as_u16()));
        return Err(code.map_or_else(status, Refused::Server));
    }
    let text = |name: &str| json.get(name)?.as_str().filter(|text| !text.is_empty());
    let device_code = text("device_code").ok_or_else(|| wrong("no device_code"))?;
    let shown = |name: &str| text(name).filter(|text| is_shown(text));
    let user_code = shown("user_code").ok_or_else(|| wrong("no user_code that can be shown"))?;
    let page = |name: &str| shown(name).filter(|text| text.parse::<Origin>().is_ok());
    // Google's name for it came before the RFC.
    let uri = page("verification_uri").or_else(|| page("verification_url"));
    let seconds = |name: &str| {
        let seconds = json.get(name).and_then(jwt::seconds)?;
        Duration::try_from_secs_f64(seconds).ok()
    };
    Ok(Device {
        device_code: device_code.into(),
        user_code: user_code.to_owned(),
        verification_uri: uri.ok_or_else(|| wrong("no verification_uri"))?.to_owned(),
        verification_uri_complete: page("verification_uri_complete").map(str::to_owned),
        expires_in: seconds("expires_in").unwrap_or(LONGEST).min(LONGEST),
        interval: seconds("interval").unwrap_or(USUAL).clamp(LEAST, MOST),
    })
}

fn is_shown(text: &str) -> bool {
    text.len() <= SHOWN && !text.chars().any(char::is_control)
}

/// Makes the request that asks whether the person is through (§3.4).
pub fn poll(oauth2: &Oauth2, device: &Device, scope: &Scope<'_>) -> Result<Request, Error> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut pairs = vec![
        pair("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        pair("device_code", device.device_code.expose()),
    ];
    pairs.extend(client(oauth2.client_auth, scope, |_| false)?);
    post(oauth2, &oauth2.token_url, oauth2.encoding, pairs, scope)
}

/// Sorts the answer to it (§3.5).
pub fn polled(oauth2: &Oauth2, terminal: &[String], received: Received<'_>) -> Polled {
    let answer = token::read(oauth2, terminal, received);
    if let Answer::Granted(_) | Answer::ServerError(_) = answer {
        return Polled::Answer(answer);
    }
    let json = token::document(received.headers, received.body);
    let code = json.as_ref().and_then(|json| token::codes(json).next());
    match code {
        Some("authorization_pending") => Polled::Pending,
        Some("slow_down") => Polled::SlowDown(SLOWER),
        Some("access_denied") => Polled::Denied,
        Some("expired_token") => Polled::Expired,
        _ => Polled::Answer(answer),
    }
}

// === impl Polled ===

impl Polled {
    /// Tells whether it is asked again later: nobody has said no, and the server may only be in trouble.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Pending | Self::SlowDown(_) => true,
            Self::Denied | Self::Expired => false,
            Self::Answer(Answer::ServerError(_) | Answer::Throttled(_)) => true,
            Self::Answer(Answer::NotAnAnswer(why)) => matches!(why, Why::NotJson),
            Self::Answer(Answer::Granted(_) | Answer::Terminal(_) | Answer::Config(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::SystemTime};

    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::rule::{ClientAuth, GrantType};

    fn oauth2() -> Oauth2 {
        Oauth2 {
            token_url: url("/token"),
            grant_type: GrantType::RefreshToken,
            client_auth: ClientAuth::None,
            encoding: Encoding::Form,
            params: Vec::new(),
            headers: Vec::new(),
            answer: vec![(
                "access_token".to_owned(),
                vec!["/access_token".parse().unwrap()],
            )],
        }
    }

    fn url(path: &str) -> Url {
        Url {
            origin: "https://auth.example".parse().unwrap(),
            path: path.to_owned(),
        }
    }

    fn received<'a>(status: u16, headers: &'a HeaderMap, body: &'a str) -> Received<'a> {
        Received {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: body.as_bytes(),
            now: SystemTime::UNIX_EPOCH,
        }
    }

    const GOOD: &str = r#"{"device_code":"D","user_code":"WDJB-MJHT","verification_uri":"https://auth.example/device",
        "verification_uri_complete":"https://auth.example/device?user_code=WDJB-MJHT","expires_in":1800,"interval":5}"#;

    #[test]
    fn what_is_asked() {
        let values = [("client_id", "a b")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let values = BTreeMap::from(values);
        let scope = Scope {
            values: &values,
            ..Scope::empty(SystemTime::UNIX_EPOCH, [0; 16])
        };
        let login = Login {
            scope: Some("read write".to_owned()),
            ..Login::default()
        };
        let first = request(&oauth2(), &login, &url("/device"), &scope).unwrap();
        assert_eq!(first.url, url("/device"));
        assert_eq!(first.body.expose(), b"client_id=a+b&scope=read+write");
        let none = HeaderMap::new();
        let device = read(received(200, &none, GOOD)).unwrap();
        let second = poll(&oauth2(), &device, &scope).unwrap();
        assert_eq!(second.url, url("/token"));
        let body = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=D&client_id=a+b";
        assert_eq!(second.body.expose(), body.as_bytes());
    }

    #[test]
    fn what_a_person_is_told() {
        let none = HeaderMap::new();
        let device = read(received(200, &none, GOOD)).unwrap();
        assert_eq!(device.user_code, "WDJB-MJHT");
        assert_eq!(device.verification_uri, "https://auth.example/device");
        assert!(device.verification_uri_complete.is_some());
        assert_eq!((device.expires_in, device.interval), (LONGEST, USUAL));
        assert!(!format!("{device:?}").contains("\"D\""));
        for (interval, expected) in [
            ("0", LEAST),
            ("\"7\"", Duration::from_secs(7)),
            ("1e9", MOST),
        ] {
            let body = GOOD.replace("\"interval\":5", &format!("\"interval\":{interval}"));
            let device = read(received(200, &none, &body)).unwrap();
            assert_eq!(device.interval, expected, "{interval}");
        }
        let old = GOOD.replace("\"verification_uri\"", "\"verification_url\"");
        assert!(read(received(200, &none, &old)).is_ok());
        let not = |what: &str| Refused::NotAnAnswer(what.to_owned());
        for (status, body, error) in [
            (200, "<html>".to_owned(), not("no JSON")),
            (200, "{}".to_owned(), not("no device_code")),
            (
                200,
                GOOD.replace("WDJB-MJHT", ""),
                not("no user_code that can be shown"),
            ),
            (
                200,
                GOOD.replace("WDJB-", "\\u001b[2J"),
                not("no user_code that can be shown"),
            ),
            (
                200,
                GOOD.replace("https://", "javascript:"),
                not("no verification_uri"),
            ),
            (
                400,
                r#"{"error":"invalid_scope"}"#.to_owned(),
                Refused::Server("invalid_scope".to_owned()),
            ),
            (404, "{}".to_owned(), not("status 404")),
        ] {
            let got = read(received(status, &none, &body));
            assert_eq!(got.unwrap_err(), error, "{body}");
        }
    }

    #[test]
    fn what_came_of_asking() {
        let none = HeaderMap::new();
        let polled = |status, body: &str| {
            let terminal = ["invalid_grant".to_owned()];
            polled(&oauth2(), &terminal, received(status, &none, body))
        };
        let error = |code: &str| format!("{{\"error\":\"{code}\"}}");
        for (status, code, expected, again) in [
            (400, "authorization_pending", Polled::Pending, true),
            (401, "authorization_pending", Polled::Pending, true),
            (400, "slow_down", Polled::SlowDown(SLOWER), true),
            (429, "slow_down", Polled::SlowDown(SLOWER), true),
            (400, "access_denied", Polled::Denied, false),
            (400, "expired_token", Polled::Expired, false),
            (
                400,
                "invalid_grant",
                Polled::Answer(Answer::Terminal("invalid_grant".to_owned())),
                false,
            ),
            (
                401,
                "invalid_client",
                Polled::Answer(Answer::Config("invalid_client".to_owned())),
                false,
            ),
            (
                503,
                "expired_token",
                Polled::Answer(Answer::ServerError(503)),
                true,
            ),
        ] {
            let got = polled(status, &error(code));
            assert_eq!(
                (&got, got.is_transient()),
                (&expected, again),
                "{status} {code}"
            );
        }
        assert!(polled(200, "<html>").is_transient());
        let granted = polled(200, r#"{"access_token":"T"}"#);
        assert!(matches!(&granted, Polled::Answer(Answer::Granted(_))));
        assert!(!granted.is_transient());
    }
}
