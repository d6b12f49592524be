//! What a template sees: a session's values, secrets, grant, derived fields and cookies, the time and randomness.

use std::{borrow::Cow, collections::BTreeMap, time::SystemTime};

use minijinja::Value;

use super::{Error, Part, Template, filters};
use crate::{grant::Grant, jar::Jar, rule::Recipe, secret::Secret};

static NO_VALUES: BTreeMap<String, String> = BTreeMap::new();
static NO_SECRETS: BTreeMap<String, Secret> = BTreeMap::new();

/// Fields by name, cookies by name, the time and random bytes. Names are unique across its parts; where one is
/// not, what was learnt last wins: captured, grant, secrets, values, derived.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub values: &'a BTreeMap<String, String>,
    pub secrets: &'a BTreeMap<String, Secret>,
    /// The fields of the grant.
    pub grant: &'a BTreeMap<String, Secret>,
    /// What the steps of a refresh captured so far.
    pub captured: &'a BTreeMap<String, Secret>,
    /// Computed when asked for; one may use those before it.
    pub derive: &'a [(String, Template)],
    /// Returns a cookie's value by its name.
    pub cookies: &'a (dyn Fn(&str) -> Option<Cow<'a, [u8]>> + Sync),
    pub now: SystemTime,
    /// For `uuid()`: used once, or two of one rendering are the same.
    pub random: [u8; 16],
}

// === impl Scope ===

impl<'a> Scope<'a> {
    /// Returns a scope without any field.
    pub fn empty(now: SystemTime, random: [u8; 16]) -> Self {
        Self {
            values: &NO_VALUES,
            secrets: &NO_SECRETS,
            grant: &NO_SECRETS,
            captured: &NO_SECRETS,
            derive: &[],
            cookies: &|_| None,
            now,
            random,
        }
    }

    /// Returns all that a session's templates see, apart from cookies.
    pub fn of(recipe: &'a Recipe, grant: &'a Grant, now: SystemTime, random: [u8; 16]) -> Self {
        Self {
            values: &recipe.values,
            secrets: &recipe.secrets,
            grant: &grant.fields,
            derive: &recipe.derive,
            ..Self::empty(now, random)
        }
    }

    /// Returns the cookie's value as `Scope::cookies` wants it.
    pub fn cookie_of<'j>(jar: &'j Jar, name: &str, now: SystemTime) -> Option<Cow<'j, [u8]>> {
        jar.named(name, now)
            .map(|cookie| Cow::Borrowed(cookie.value.expose().as_slice()))
    }

    /// Returns a field's value: of the grant, a secret, a plain value, or a derived one.
    pub fn field(&self, name: &str) -> Result<Cow<'a, str>, Error> {
        let secret = [self.captured, self.grant, self.secrets]
            .into_iter()
            .find_map(|fields| fields.get(name));
        if let Some(secret) = secret {
            return Ok(Cow::Borrowed(secret.expose()));
        }
        if let Some(value) = self.values.get(name) {
            return Ok(Cow::Borrowed(value));
        }
        let Some(at) = self.derive.iter().position(|(field, _)| field == name) else {
            return Err(Error::Undefined(name.to_owned()));
        };
        let (field, template) = &self.derive[at];
        // Only those before it: a field that uses itself, also by way of another, is undefined.
        let before = Self {
            derive: &self.derive[..at],
            ..*self
        };
        template
            .render(&before)
            .map(Cow::Owned)
            .map_err(|source| Error::Derived {
                field: field.clone(),
                source: Box::new(source),
            })
    }

    fn cookie(&self, name: &str) -> Result<Value, Error> {
        (self.cookies)(name)
            .map(|value| filters::from_bytes(value.into_owned()))
            .ok_or_else(|| Error::Undefined(format!("cookies['{name}']")))
    }
}

pub(super) fn render(template: &Template, scope: &Scope<'_>) -> Result<String, Error> {
    let mut text = String::new();
    for part in template.parts() {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Field(name) => text.push_str(&scope.field(name)?),
            Part::Expression(compiled) => {
                let words = &compiled.words;
                let mut context: Vec<(&str, Value)> = Vec::new();
                for name in &words.fields {
                    context.push((name, Value::from(&*scope.field(name)?)));
                }
                if !words.cookies.is_empty() {
                    let mut cookies = BTreeMap::new();
                    for name in &words.cookies {
                        cookies.insert(name.clone(), scope.cookie(name)?);
                    }
                    context.push(("cookies", cookies.into()));
                }
                if words.dynamic {
                    context.extend(filters::functions(scope.now, scope.random));
                }
                let value = compiled.eval(Value::from_pairs(context))?;
                let value = filters::text(&value).ok_or_else(|| Error::NotText(words.names()))?;
                text.push_str(&value);
            }
        }
    }
    Ok(text)
}
