//! The authorization code grant with PKCE (RFC 6749 §4.1, RFC 7636) of a client on a person's own machine (RFC 8252).

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::{
    Error, Request,
    oauth2::{client, parameter, post, rendered},
    pkce::{Verifier, unguessable},
};
use crate::{
    rule::{Login, Oauth2, Url, template::Scope},
    secret::Secret,
};

/// One request for a code, and what its answer must have.
#[derive(Clone, Debug)]
pub struct Authorization {
    state: Secret,
    verifier: Verifier,
    redirect_uri: String,
    issuer: Option<String>,
}

/// Why the address that a browser came to has no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Of an earlier sign-in, or of somebody who would sign us in as himself (RFC 6749 §10.12).
    #[error("it is not the answer to this sign-in: its state is another")]
    State,
    #[error("its issuer is not the configured one")]
    Issuer,
    #[error("the consent was denied: access_denied")]
    Denied,
    /// Another error of RFC 6749 §4.1.2.1.
    #[error("the authorization server refuses: {0}")]
    Server(String),
    #[error("it has no code")]
    NoCode,
}

// === impl Authorization ===

impl Authorization {
    pub fn new(login: &Login, redirect_uri: String, random: ([u8; 16], [u8; 32])) -> Self {
        Self {
            state: unguessable(random.0).into(),
            verifier: Verifier::new(random.1),
            redirect_uri,
            issuer: login.issuer.clone(),
        }
    }

    /// Returns the address to open in a browser. The configured parameters take the place of those of their names; what
    /// is `""` there is left out.
    pub fn url(&self, login: &Login, endpoint: &Url, scope: &Scope<'_>) -> Result<String, Error> {
        let own = |name: &str| login.params.iter().any(|(own, _)| own == name);
        let mut pairs = vec![
            ("response_type", "code".to_owned()),
            ("redirect_uri", self.redirect_uri.clone()),
        ];
        if !own("client_id") {
            pairs.insert(1, ("client_id", parameter("client_id", scope)?));
        }
        if let Some(scope) = &login.scope {
            pairs.push(("scope", scope.clone()));
        }
        pairs.extend([
            ("state", self.state.expose().clone()),
            ("code_challenge", self.verifier.challenge()),
            ("code_challenge_method", "S256".to_owned()),
        ]);
        pairs.retain(|(name, _)| !own(name));
        let Url { origin, path } = endpoint;
        let start = if path.contains('?') { '&' } else { '?' };
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .extend_pairs(rendered(&login.params, scope)?)
            .finish();
        let authority = origin.authority();
        Ok(format!(
            "{}://{authority}{path}{start}{query}",
            origin.scheme
        ))
    }

    /// Takes the code out of the query of the address that the browser came to.
    pub fn read(&self, query: &str) -> Result<Secret, Refused> {
        // A parameter that is there twice is none (RFC 6749 §3.1).
        let the = |name: &str| {
            let mut found = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
            let (_, value) = found.next()?;
            found.next().is_none().then_some(value)
        };
        let ours =
            |state: &[u8]| verify_slices_are_equal(state, self.state.expose().as_bytes()).is_ok();
        if !the("state").is_some_and(|state| ours(state.as_bytes())) {
            return Err(Refused::State);
        }
        if let Some(issuer) = &self.issuer
            && the("iss").as_deref() != Some(issuer)
        {
            return Err(Refused::Issuer);
        }
        if let Some(error) = the("error") {
            return Err(match &*error {
                "access_denied" => Refused::Denied,
                // It goes to a terminal: what is no code of the RFC is not repeated.
                code if is_code(code) => Refused::Server(code.to_owned()),
                _ => Refused::Server("an error without a name".to_owned()),
            });
        }
        let code = the("code").filter(|code| !code.is_empty());
        code.map(|code| code.into_owned().into())
            .ok_or(Refused::NoCode)
    }

    /// Makes the request that exchanges the code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.5).
    pub fn exchange(
        &self,
        oauth2: &Oauth2,
        code: &Secret,
        scope: &Scope<'_>,
    ) -> Result<Request, Error> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut pairs = vec![
            pair("grant_type", "authorization_code"),
            pair("code", code.expose()),
            pair("redirect_uri", &self.redirect_uri),
            pair("code_verifier", self.verifier.expose()),
        ];
        pairs.extend(client(oauth2.client_auth, scope, |_| false)?);
        post(oauth2, &oauth2.token_url, oauth2.encoding, pairs, scope)
    }
}

fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::SystemTime};

    use super::*;
    use crate::rule::{ClientAuth, Encoding, GrantType, template::Template};

    const STATE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    fn login() -> Login {
        Login {
            scope: Some("advertising::campaign_management".to_owned()),
            issuer: Some("https://auth.example".to_owned()),
            ..Login::default()
        }
    }

    fn authorization(login: &Login) -> Authorization {
        Authorization::new(login, "http://127.0.0.1:7/".to_owned(), ([0; 16], [0; 32]))
    }

    fn with<T>(look: impl FnOnce(&Scope<'_>) -> T) -> T {
        let values = [("client_id", "me & you"), ("tenant", "t/1")];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let secrets = [("client_secret".to_owned(), "s s".into())];
        let (values, secrets) = (BTreeMap::from(values), BTreeMap::from(secrets));
        look(&Scope {
            values: &values,
            secrets: &secrets,
            ..Scope::empty(SystemTime::UNIX_EPOCH, [0; 16])
        })
    }

    fn endpoint(path: &str) -> Url {
        Url {
            origin: "https://auth.example:8443".parse().unwrap(),
            path: path.to_owned(),
        }
    }

    #[test]
    fn the_address_for_the_browser() {
        let rest = "redirect_uri=http%3A%2F%2F127.0.0.1%3A7%2F&scope=advertising%3A%3Acampaign_management\
            &state=AAAAAAAAAAAAAAAAAAAAAA&code_challenge=DwBzhbb51LfusnSGBa_hqYSgo7-j8BTQnip4TOnlzRo&code_challenge_method=S256";
        let made = |login: &Login, path: &str| {
            with(|scope| authorization(login).url(login, &endpoint(path), scope))
        };
        assert_eq!(
            made(&login(), "/ap/oa").unwrap(),
            format!(
                "https://auth.example:8443/ap/oa?response_type=code&client_id=me+%26+you&{rest}"
            )
        );
        assert_eq!(
            made(&login(), "/ap/oa?x=1").unwrap(),
            format!(
                "https://auth.example:8443/ap/oa?x=1&response_type=code&client_id=me+%26+you&{rest}"
            )
        );
        let template = |text: &str| Template::parse(text).unwrap();
        let more = Login {
            params: vec![
                ("client_id".to_owned(), template("other")),
                ("scope".to_owned(), template("")),
                ("audience".to_owned(), template("{{ tenant }}")),
            ],
            ..login()
        };
        let url = made(&more, "/").unwrap();
        assert!(url.ends_with("&client_id=other&audience=t%2F1"), "{url}");
        assert!(!url.contains("scope=") && !url.contains("me+"), "{url}");
        let shown = format!("{:?}", authorization(&login()));
        assert!(!shown.contains(STATE), "{shown}");
        let nobody = Scope::empty(SystemTime::UNIX_EPOCH, [0; 16]);
        let error = authorization(&login()).url(&login(), &endpoint("/"), &nobody);
        assert_eq!(
            error.unwrap_err().to_string(),
            "the request's parameter client_id cannot be made"
        );
    }

    #[test]
    fn what_comes_back() {
        let iss = "iss=https%3A%2F%2Fauth.example";
        let server = |code: &str| Err(Refused::Server(code.to_owned()));
        let cases = [
            (format!("code=c%2B1&state={STATE}&{iss}"), Ok("c+1")),
            (format!("code=c&state={STATE}"), Err(Refused::Issuer)),
            (
                format!("code=c&state={STATE}&iss=https://evil.example"),
                Err(Refused::Issuer),
            ),
            (
                format!("code=c&state={STATE}&{iss}&{iss}"),
                Err(Refused::Issuer),
            ),
            (format!("code=c&{iss}"), Err(Refused::State)),
            (format!("code=c&state=other&{iss}"), Err(Refused::State)),
            (
                format!("code=c&state={STATE}&state=other&{iss}"),
                Err(Refused::State),
            ),
            (format!("error=access_denied&{iss}"), Err(Refused::State)),
            (
                format!("error=access_denied&state={STATE}&{iss}"),
                Err(Refused::Denied),
            ),
            (
                format!("error=invalid_scope&code=c&state={STATE}&{iss}"),
                server("invalid_scope"),
            ),
            (
                format!("error=%1b[2J&state={STATE}&{iss}"),
                server("an error without a name"),
            ),
            (format!("state={STATE}&{iss}"), Err(Refused::NoCode)),
            (format!("code=&state={STATE}&{iss}"), Err(Refused::NoCode)),
            (
                format!("code=a&code=b&state={STATE}&{iss}"),
                Err(Refused::NoCode),
            ),
            (String::new(), Err(Refused::State)),
        ];
        let authorization = authorization(&login());
        for (query, expected) in cases {
            let got = authorization.read(&query);
            assert_eq!(got, expected.map(Secret::from), "{query}");
        }
        let anybody = Login {
            issuer: None,
            ..login()
        };
        let anybody = self::authorization(&anybody);
        assert!(anybody.read(&format!("code=c&state={STATE}&iss=x")).is_ok());
    }

    #[test]
    fn the_code_is_exchanged_as_the_client_is_known() {
        let exchanged = "grant_type=authorization_code&code=c%2B1&redirect_uri=http%3A%2F%2F127.0.0.1%3A7%2F\
            &code_verifier=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for (client_auth, more, basic) in [
            (ClientAuth::None, "&client_id=me+%26+you", false),
            (
                ClientAuth::Post,
                "&client_id=me+%26+you&client_secret=s+s",
                false,
            ),
            (ClientAuth::Basic, "", true),
        ] {
            let oauth2 = Oauth2 {
                token_url: endpoint("/token"),
                grant_type: GrantType::RefreshToken,
                client_auth,
                encoding: Encoding::Form,
                params: vec![("refresh_token".to_owned(), Template::parse("x").unwrap())],
                headers: Vec::new(),
                answer: Vec::new(),
            };
            let request = with(|scope| {
                let code = "c+1".into();
                authorization(&login())
                    .exchange(&oauth2, &code, scope)
                    .unwrap()
            });
            let body = String::from_utf8(request.body.expose().clone()).unwrap();
            assert_eq!(body, format!("{exchanged}{more}"));
            assert_eq!(request.headers.contains_key("authorization"), basic);
            assert_eq!(request.url, oauth2.token_url);
        }
    }
}
