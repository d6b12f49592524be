//! Which session a request belongs to: by client, origin, path, method and field; the most specific binding wins.

/// All bindings, captures and blocks of one configuration, looked up by host.
#[derive(Debug)]
pub struct Matcher;
