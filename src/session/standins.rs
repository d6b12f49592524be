//! What a session gives out in place of its credential, when its captures mask it.

use super::{Session, held::REFRESH_TOKEN};
use crate::{
    rule::{Recipe, mask::is_masked, standin::Maker},
    store::{SessionId, Store},
};

/// The stand-ins of one session.
#[derive(Debug)]
pub struct Standins {
    maker: Maker,
    /// The fields that clients may hold stand-ins of.
    fields: Vec<String>,
}

impl Standins {
    /// Returns those of a session that masks something. Their key comes from the store's: so they stay the same.
    pub(super) fn of(recipe: &Recipe, id: &SessionId, store: &Store) -> Option<Self> {
        let masked = recipe.captures.iter().filter(|capture| capture.mask);
        let mut fields: Vec<_> = masked
            .flat_map(|capture| &capture.answer)
            .map(|(field, _)| field.clone())
            .filter(|field| is_masked(field))
            .collect();
        fields.sort();
        fields.dedup();
        (!fields.is_empty()).then(|| Self {
            maker: Maker::new(&store.key(&format!("stand-ins {id}"))),
            fields,
        })
    }

    pub fn maker(&self) -> &Maker {
        &self.maker
    }

    /// Tells whether a text stands in for a credential that may go to the session's bound origins. A refresh token
    /// does not: it goes to the places of `capture.request` alone.
    pub fn opens(&self, text: &str) -> bool {
        let mut fields = self.fields.iter().filter(|field| *field != REFRESH_TOKEN);
        fields.any(|field| self.maker.recognises(field, text))
    }

    /// Tells whether a text stands in for another field than the one in whose place it is.
    pub fn is_of_another(&self, field: &str, text: &str) -> bool {
        let mut others = self.fields.iter().filter(|other| *other != field);
        !self.maker.recognises(field, text)
            && others.any(|other| self.maker.recognises(other, text))
    }
}

impl Session {
    /// Returns the session's stand-ins, if it gives out any.
    pub fn standins(&self) -> Option<&Standins> {
        self.standins.as_ref()
    }
}
