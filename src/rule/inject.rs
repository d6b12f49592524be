//! Puts a session's credential on a request: the only place from which one reaches the wire.

use http::HeaderValue;

use super::{Mode, Place, template::Template};

/// An injection, rendered for one generation of a session.
#[derive(Clone, Debug)]
pub struct Ready {
    pub place: Place,
    pub mode: Mode,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    /// The same for every request of the generation; marked sensitive.
    Fixed(HeaderValue),
    /// Its template asks for the time or for randomness.
    EachTime(Template),
}
