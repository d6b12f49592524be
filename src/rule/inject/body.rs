//! Values in the body: put when the head is done, into a body that is there whole.

use http::HeaderMap;

use super::{Attempt, Error, Ready, Value, held, turn};
use crate::rule::{
    Mode, Place, Recipe,
    body::{Edit, Media, splice},
    template::{self, Template},
};

/// Tells whether something of the session may stand in the body of such a request: one in whose head nothing of it is
/// found otherwise is not read at all.
pub fn has_place(recipe: &Recipe, headers: &HeaderMap) -> bool {
    let mut places = recipe.inject.iter();
    places.any(|inject| matches!(inject.place, Place::Body(_))) && Media::of(headers).is_some()
}

/// Puts a session's values into a body, and returns it if that has changed it. What is not as its media type says, or
/// has no place for a value, stays as it is.
pub fn put(
    headers: &HeaderMap,
    body: &[u8],
    ready: &[Ready],
    attempt: Attempt,
    standin: Option<&dyn Fn(&str) -> bool>,
    render: &dyn Fn(&Template) -> Result<String, template::Error>,
) -> Result<Option<Vec<u8>>, Error> {
    let Some(media) = Media::of(headers) else {
        return Ok(None);
    };
    let mut new: Option<Vec<u8>> = None;
    for Ready { place, mode, value } in ready {
        let Place::Body(spot) = place else {
            continue;
        };
        let so_far = new.as_deref().unwrap_or(body);
        let is_held = standin.is_some_and(|standin| {
            let mut there = spot.find(media, so_far).into_iter();
            there.any(|(_, text)| held::within(&text, standin))
        });
        let mode = if is_held { Mode::Replace } else { *mode };
        let Some(mode) = turn(mode, attempt) else {
            continue;
        };
        let rendered;
        let value = match value {
            Value::Fixed(value) => value,
            Value::EachTime(template) => {
                rendered = place.encode(render(template))?;
                &rendered
            }
        };
        let value = std::str::from_utf8(value.as_bytes()).expect("an encoded value is ASCII");
        let edits = spot.put(media, so_far, value, mode);
        if !edits.is_empty() {
            new = splice(so_far, edits);
        }
    }
    Ok(new)
}

/// Empties the values that stand for what a session no longer holds, and returns the body if there are any. Their
/// names stay: a document without them may be another one.
pub fn empty(
    headers: &HeaderMap,
    body: &[u8],
    recipe: &Recipe,
    standin: &dyn Fn(&str) -> bool,
) -> Option<Vec<u8>> {
    let media = Media::of(headers)?;
    let mut edits = Vec::new();
    for inject in &recipe.inject {
        let Place::Body(spot) = &inject.place else {
            continue;
        };
        let there = spot.find(media, body).into_iter();
        let held = there.filter(|(_, text)| held::within(text, standin));
        edits.extend(held.map(|(span, _)| Edit {
            span,
            with: spot.encode(""),
        }));
    }
    if edits.is_empty() {
        return None;
    }
    splice(body, edits)
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

    use super::*;
    use crate::rule::{Inject, Spot};

    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";

    fn ready(spot: Spot, mode: Mode) -> Ready {
        let place = Place::Body(spot);
        let value = place.encode(Ok("T\"é 1".to_owned())).unwrap();
        Ready {
            place,
            mode,
            value: Value::Fixed(value),
        }
    }

    fn spot(text: &str) -> Spot {
        match text.strip_prefix("form ") {
            Some(name) => Spot::Form(name.to_owned()),
            None => Spot::Json(text.parse().unwrap()),
        }
    }

    fn put_all(places: &[(&str, Mode)], media: &str, body: &str) -> Option<String> {
        let ready: Vec<_> = places
            .iter()
            .map(|(at, mode)| ready(spot(at), *mode))
            .collect();
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, media.parse().unwrap())]);
        let standin = |text: &str| text == "STAND-IN";
        let never = |_: &Template| panic!("nothing is dynamic");
        let body = put(
            &headers,
            body.as_bytes(),
            &ready,
            Attempt::First,
            Some(&standin),
            &never,
        );
        body.unwrap().map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn values_are_put_as_their_modes_say() {
        use Mode::{IfMissing, IfPresent, OnChallenge, Replace};
        let value = r#""T\"\u00e9 1""#;
        let cases = [
            (
                &[("/t", Replace)][..],
                JSON,
                r#"{"t":"x"}"#,
                Some(format!(r#"{{"t":{value}}}"#)),
            ),
            (&[("/t", IfPresent)], JSON, r#"{"a":1}"#, None),
            (&[("/t", IfMissing)], JSON, r#"{"t":"own"}"#, None),
            (
                &[("/t", IfMissing)],
                JSON,
                r#"{"t":"Bearer STAND-IN"}"#,
                Some(format!(r#"{{"t":{value}}}"#)),
            ),
            (&[("/t", OnChallenge)], JSON, r#"{"t":"own"}"#, None),
            (
                &[("/t", OnChallenge)],
                JSON,
                r#"{"t":"STAND-IN"}"#,
                Some(format!(r#"{{"t":{value}}}"#)),
            ),
            (
                &[("/a", Replace), ("/b", Replace)],
                JSON,
                "{}",
                Some(format!(r#"{{"a":{value},"b":{value}}}"#)),
            ),
            (
                &[("form t", Replace), ("/t", Replace)],
                FORM,
                "t=x&u=1",
                Some("t=T%22%C3%A9+1&u=1".to_owned()),
            ),
            (&[("/t", Replace)], JSON, "not json", None),
            (&[("/t", Replace)], "text/plain", r#"{"t":"x"}"#, None),
        ];
        for (places, media, body, expected) in cases {
            assert_eq!(put_all(places, media, body), expected, "{places:?} {body}");
        }
    }

    #[test]
    fn a_body_is_read_only_if_something_may_stand_there() {
        let mut recipe = Recipe::new("s");
        let json = HeaderMap::from_iter([(CONTENT_TYPE, JSON.parse().unwrap())]);
        assert!(!has_place(&recipe, &json));
        recipe.inject.push(Inject {
            place: Place::Body(spot("/t")),
            value: Template::parse("x").unwrap(),
            mode: Mode::Replace,
        });
        assert!(has_place(&recipe, &json));
        assert!(!has_place(&recipe, &HeaderMap::new()));
    }
}
