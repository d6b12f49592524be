//! The built-in providers: recipes for sites, everything of a session but its secrets, as TOML files.
//!
//! The files are read by `config`, which alone knows TOML; here they are texts by name.

/// Name and text, in alphabetical order.
const BUILTIN: &[(&str, &str)] = &[
    ("amazon-ads", include_str!("builtin/amazon-ads.toml")),
    ("audible", include_str!("builtin/audible.toml")),
    ("mubi", include_str!("builtin/mubi.toml")),
    ("oreilly", include_str!("builtin/oreilly.toml")),
    ("supabase", include_str!("builtin/supabase.toml")),
];

/// Returns the names of the built-in providers, in alphabetical order.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(name, _)| *name)
}

/// Returns the text of a built-in provider.
pub fn builtin(name: &str) -> Option<&'static str> {
    let found = BUILTIN.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

/// Audible's marketplaces: the code that its library has for each, and the top-level domain.
pub const MARKETS: [(&str, &str); 11] = [
    ("us", "com"),
    ("uk", "co.uk"),
    ("de", "de"),
    ("fr", "fr"),
    ("ca", "ca"),
    ("it", "it"),
    ("au", "com.au"),
    ("in", "in"),
    ("jp", "co.jp"),
    ("es", "es"),
    ("br", "com.br"),
];
