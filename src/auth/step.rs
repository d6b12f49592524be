//! Requests of an `http` refresh: what a browser would send to sign in.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header::ACCEPT};
use serde_json::Value;

use super::{Error, Request, form, media_type, set_headers};
use crate::{
    rule::{Step, StepBody, template::Scope},
    secret::Secret,
};

/// Makes the request of a step. Cookies are the jar's and not in it.
pub fn request(step: &Step, scope: &Scope<'_>) -> Result<Request, Error> {
    let Step {
        method,
        url,
        headers: own_headers,
        body,
        expect: _,
        capture: _,
    } = step;
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    let body = match body {
        StepBody::Empty => Vec::new(),
        StepBody::Form(fields) => {
            media_type(&mut headers, "application/x-www-form-urlencoded");
            let pairs = fields.iter().map(|(name, template)| {
                let value = template
                    .render(scope)
                    .map_err(|source| Error::of(&format!("form field {name}"), source))?;
                Ok((name.clone(), value))
            });
            form(&pairs.collect::<Result<Vec<_>, Error>>()?)
        }
        StepBody::Json(value, templates) => {
            media_type(&mut headers, "application/json");
            let mut value = Cow::Borrowed(value);
            for (pointer, template) in templates {
                let text = template
                    .render(scope)
                    .map_err(|source| Error::of(&format!("JSON value {pointer}"), source))?;
                if let Some(place) = value.to_mut().pointer_mut(pointer.as_str()) {
                    *place = Value::String(text);
                }
            }
            value.to_string().into_bytes()
        }
    };
    set_headers(&mut headers, own_headers, scope)?;
    Ok(Request {
        method: method.clone(),
        url: url.clone(),
        headers,
        body: Secret::new(body),
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::SystemTime};

    use http::Method;
    use serde_json::json;

    use super::*;
    use crate::rule::{
        Expect, Url,
        template::{self, Template},
    };

    fn template(text: &str) -> Template {
        Template::parse(text).unwrap()
    }

    fn make(body: StepBody) -> Result<(HeaderMap, String), Error> {
        let step = Step {
            method: Method::POST,
            url: Url {
                origin: "https://auth.example".parse().unwrap(),
                path: "/login".to_owned(),
            },
            headers: vec![("x-csrf".parse().unwrap(), template("{{ csrf }}"))],
            body,
            expect: Expect::default(),
            capture: Vec::new(),
        };
        let captured: BTreeMap<String, Secret> = [("csrf".to_owned(), "C\"&=1".into())].into();
        let scope = Scope {
            captured: &captured,
            ..Scope::empty(SystemTime::UNIX_EPOCH, [0; 16])
        };
        let request = request(&step, &scope)?;
        let body = String::from_utf8(request.body.expose().clone()).unwrap();
        Ok((request.headers, body))
    }

    #[test]
    fn bodies() {
        let form = vec![("c s".to_owned(), template("{{ csrf }}"))];
        let json = json!({"z": 1, "a": ["x", {"t": "…"}]});
        let templates = vec![("/a/1/t".parse().unwrap(), template("T {{ csrf }}"))];
        let cases = [
            (StepBody::Empty, None, ""),
            (
                StepBody::Form(form),
                Some("application/x-www-form-urlencoded"),
                "c+s=C%22%26%3D1",
            ),
            (
                StepBody::Json(json, templates),
                Some("application/json"),
                r#"{"z":1,"a":["x",{"t":"T C\"&=1"}]}"#,
            ),
        ];
        for (body, media, expected) in cases {
            let (headers, body) = make(body).unwrap();
            let got = headers.get("content-type");
            assert_eq!(got.map(|value| value.to_str().unwrap()), media);
            assert_eq!(
                (body.as_str(), headers["x-csrf"].is_sensitive()),
                (expected, true)
            );
        }
    }

    #[test]
    fn what_was_not_captured_is_named() {
        let fields = vec![("token".to_owned(), template("{{ token }}"))];
        let error = make(StepBody::Form(fields)).unwrap_err();
        let source = template::Error::Undefined("token".to_owned());
        assert_eq!(error, Error::of("form field token", source));
    }
}
