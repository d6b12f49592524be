//! The built-in providers: recipes for sites, everything of a session but its secrets, as TOML files.
//!
//! The files are read by `config`, which alone knows TOML; here they are texts by name.

/// The names of the built-in providers, in alphabetical order.
pub const NAMES: &[&str] = &[];

/// Returns the text of a built-in provider.
pub fn builtin(name: &str) -> Option<&'static str> {
    let _ = name;
    None
}
