//! Requests to token endpoints (RFC 6749 §4.3, §4.4, §6; RFC 7523 §2.1).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderValue, Method,
    header::{ACCEPT, AUTHORIZATION},
};

use super::{Error, Request, field, form, media_type, set_headers};
use crate::{
    rule::{
        ClientAuth, Encoding, GrantType, Oauth2, Url,
        template::{Scope, Template},
    },
    secret::Secret,
};

/// Makes the request that renews a session.
///
/// The standard parameters come first, in the order of the RFC, and `params` takes the place of those of its names;
/// what is `""` there is left out. `client_id` is sent with `client_auth = "none"` if there is one.
pub fn request(oauth2: &Oauth2, scope: &Scope<'_>) -> Result<Request, Error> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let own = |name: &str| oauth2.params.iter().any(|(own, _)| own == name);
    let grant = match oauth2.grant_type {
        GrantType::RefreshToken => &["refresh_token"][..],
        GrantType::ClientCredentials => &[],
        GrantType::JwtBearer => &["assertion"],
        GrantType::Password => &["username", "password"],
    };
    if !own("grant_type") {
        let name = grant_type_name(oauth2.grant_type);
        pairs.push(("grant_type".to_owned(), name.to_owned()));
    }
    for name in grant.iter().filter(|name| !own(name)) {
        pairs.push(((*name).to_owned(), parameter(name, scope)?));
    }
    pairs.extend(client(oauth2.client_auth, scope, own)?);
    pairs.extend(rendered(&oauth2.params, scope)?);
    post(oauth2, &oauth2.token_url, oauth2.encoding, pairs, scope)
}

/// Makes a request that an OAuth client sends: authenticated as the token endpoint has it, with the session's fields.
pub(super) fn post(
    oauth2: &Oauth2,
    url: &Url,
    encoding: Encoding,
    pairs: Vec<(String, String)>,
    scope: &Scope<'_>,
) -> Result<Request, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if oauth2.client_auth == ClientAuth::Basic {
        headers.insert(AUTHORIZATION, basic(scope)?);
    }
    let body = match encoding {
        Encoding::Form => {
            media_type(&mut headers, "application/x-www-form-urlencoded");
            form(&pairs)
        }
        Encoding::Json => {
            media_type(&mut headers, "application/json");
            let object: serde_json::Map<_, _> = pairs
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect();
            serde_json::Value::Object(object).to_string().into_bytes()
        }
    };
    set_headers(&mut headers, &oauth2.headers, scope)?;
    Ok(Request {
        method: Method::POST,
        url: url.clone(),
        headers,
        body: Secret::new(body),
    })
}

/// Returns what says in a body who the client is (RFC 6749 §2.3.1, §3.2.1); `own` are names that stand there already.
pub(super) fn client(
    client_auth: ClientAuth,
    scope: &Scope<'_>,
    own: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String)>, Error> {
    let names: &[&str] = match client_auth {
        ClientAuth::Basic => &[],
        ClientAuth::Post => &["client_id", "client_secret"],
        ClientAuth::None => &["client_id"],
    };
    let mut pairs = Vec::new();
    for name in names.iter().filter(|name| !own(name)) {
        match parameter(name, scope) {
            Ok(value) => pairs.push(((*name).to_owned(), value)),
            // A public client may have no name at all.
            Err(_) if client_auth == ClientAuth::None => {}
            Err(error) => return Err(error),
        }
    }
    Ok(pairs)
}

/// Returns the value of a parameter that is a field of the session.
pub(super) fn parameter(name: &str, scope: &Scope<'_>) -> Result<String, Error> {
    let value = scope.field(name).map(|value| value.into_owned());
    value.map_err(|source| Error::of(&format!("parameter {name}"), source))
}

/// Returns the parameters of the configuration; what is `""` there is left out.
pub(super) fn rendered(
    params: &[(String, Template)],
    scope: &Scope<'_>,
) -> Result<Vec<(String, String)>, Error> {
    let mut pairs = Vec::new();
    for (name, template) in params {
        if template.as_literal() == Some("") {
            continue;
        }
        let value = template
            .render(scope)
            .map_err(|source| Error::of(&format!("parameter {name}"), source))?;
        pairs.push((name.clone(), value));
    }
    Ok(pairs)
}

fn grant_type_name(grant_type: GrantType) -> &'static str {
    match grant_type {
        GrantType::RefreshToken => "refresh_token",
        GrantType::ClientCredentials => "client_credentials",
        GrantType::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        GrantType::Password => "password",
    }
}

/// Both parts are form-urlencoded before they are joined (RFC 6749 §2.3.1): a secret may have a colon.
fn basic(scope: &Scope<'_>) -> Result<HeaderValue, Error> {
    let part = |name: &str| {
        let value = scope
            .field(name)
            .map_err(|source| Error::of(name, source))?;
        let encoded = form_urlencoded::byte_serialize(value.as_bytes());
        Ok(encoded.collect::<String>())
    };
    let credentials = format!("{}:{}", part("client_id")?, part("client_secret")?);
    let value = field(format!("Basic {}", STANDARD.encode(credentials)));
    Ok(value.expect("base64 is a field value"))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::SystemTime};

    use super::*;

    fn oauth2(grant_type: GrantType, client_auth: ClientAuth) -> Oauth2 {
        Oauth2 {
            token_url: Url {
                origin: "https://auth.example".parse().unwrap(),
                path: "/token?x=1".to_owned(),
            },
            grant_type,
            client_auth,
            encoding: Encoding::Form,
            params: Vec::new(),
            headers: Vec::new(),
            answer: Vec::new(),
        }
    }

    fn params(pairs: &[(&str, &str)]) -> Vec<(String, Template)> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, text)| ((*name).to_owned(), Template::parse(text).unwrap()))
            .collect()
    }

    fn make(oauth2: &Oauth2, fields: &[(&str, &str)]) -> Result<(HeaderMap, String), Error> {
        let grant: BTreeMap<String, Secret> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect();
        let scope = Scope {
            grant: &grant,
            ..Scope::empty(SystemTime::UNIX_EPOCH, [0; 16])
        };
        let request = request(oauth2, &scope)?;
        assert_eq!(
            (&request.method, &request.url),
            (&Method::POST, &oauth2.token_url)
        );
        assert!(!format!("{request:?}").contains("S+:"));
        let body = String::from_utf8(request.body.expose().clone()).unwrap();
        Ok((request.headers, body))
    }

    const ALL: [(&str, &str); 6] = [
        ("refresh_token", "Atzr|R 1"),
        ("client_id", "id:1"),
        ("client_secret", "S+:é"),
        ("assertion", "a.b.c"),
        ("username", "u"),
        ("password", "p&q"),
    ];

    #[test]
    fn grants_and_client_authentication() {
        use {ClientAuth::*, GrantType::*};
        let cases = [
            (
                RefreshToken,
                Basic,
                "grant_type=refresh_token&refresh_token=Atzr%7CR+1",
            ),
            (
                RefreshToken,
                Post,
                "grant_type=refresh_token&refresh_token=Atzr%7CR+1&client_id=id%3A1&client_secret=S%2B%3A%C3%A9",
            ),
            (
                RefreshToken,
                None,
                "grant_type=refresh_token&refresh_token=Atzr%7CR+1&client_id=id%3A1",
            ),
            (ClientCredentials, Basic, "grant_type=client_credentials"),
            (
                JwtBearer,
                Basic,
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c",
            ),
            (
                Password,
                Basic,
                "grant_type=password&username=u&password=p%26q",
            ),
        ];
        for (grant_type, client_auth, expected) in cases {
            let (headers, body) = make(&oauth2(grant_type, client_auth), &ALL).unwrap();
            assert_eq!(body, expected);
            assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
            assert_eq!(headers["accept"], "application/json");
            let basic = headers.get("authorization");
            // id%3A1:S%2B%3A%C3%A9
            let wanted = (client_auth == Basic).then_some("Basic aWQlM0ExOlMlMkIlM0ElQzMlQTk=");
            assert_eq!(basic.map(|value| value.to_str().unwrap()), wanted);
            assert!(basic.is_none_or(HeaderValue::is_sensitive));
        }
        let (_, body) = make(&oauth2(RefreshToken, None), &ALL[..1]).unwrap();
        assert_eq!(body, "grant_type=refresh_token&refresh_token=Atzr%7CR+1");
    }

    #[test]
    fn own_parameters_headers_and_encoding() {
        let mut own = oauth2(GrantType::RefreshToken, ClientAuth::None);
        own.encoding = Encoding::Json;
        own.params = params(&[
            ("grant_type", ""),
            ("client_id", ""),
            ("refresh_token", ""),
            ("source_token", "{{ refresh_token }}"),
            ("empty", "{{ nothing }}"),
        ]);
        own.params.pop();
        own.headers = vec![
            (
                "apikey".parse().unwrap(),
                Template::parse("{{ client_id }}").unwrap(),
            ),
            (ACCEPT, Template::parse("*/*").unwrap()),
        ];
        let (headers, body) = make(&own, &ALL).unwrap();
        assert_eq!(body, r#"{"source_token":"Atzr|R 1"}"#);
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(
            (&headers["apikey"], &headers["accept"]),
            (&"id:1".parse().unwrap(), &"*/*".parse().unwrap())
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        use {ClientAuth::*, GrantType::*};
        let mut with_params = oauth2(ClientCredentials, None);
        with_params.params = params(&[("scope", "{{ scopes }}")]);
        let mut with_header = oauth2(ClientCredentials, None);
        with_header.headers = vec![("x-a".parse().unwrap(), Template::parse("{{ cr }}").unwrap())];
        let cases = [
            (
                oauth2(RefreshToken, None),
                "parameter refresh_token",
                "refresh_token",
            ),
            (oauth2(Password, None), "parameter username", "username"),
            (oauth2(ClientCredentials, Basic), "client_id", "client_id"),
            (
                oauth2(ClientCredentials, Post),
                "parameter client_id",
                "client_id",
            ),
            (with_params, "parameter scope", "scopes"),
        ];
        for (oauth2, part, field) in cases {
            let source = crate::rule::template::Error::Undefined(field.to_owned());
            let error = make(&oauth2, &[]).unwrap_err();
            assert_eq!(error, Error::of(part, source));
        }
        let error = make(&with_header, &[("cr", "a\r\nb")]).unwrap_err();
        assert_eq!(error, Error::Character("header x-a".to_owned()));
    }
}
