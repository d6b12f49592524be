//! Templates `{{ … }}` over a session's fields, with a closed list of filters and functions.
#[derive(Clone, Debug)]
pub struct Template;
