//! The commented example that `staysigned init` writes: the `config.toml` of the project itself.

/// The text; every key stands in it, most of them commented out.
pub const EXAMPLE: &str = include_str!("../../config.toml");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{Found, Loaded, Place, Programs, Variables, load};

    const PROVIDER: &str =
        "params = { tenant = { default = \"na\" }, zone = { required = false } }\n";

    fn loaded(text: &str) -> (tempfile::TempDir, Loaded) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::create_dir(folder.path().join("providers")).unwrap();
        std::fs::write(folder.path().join("providers/example.toml"), PROVIDER).unwrap();
        let place = Place {
            path,
            found: Found::Option,
            notes: Vec::new(),
        };
        let loaded = load(&place, &Variables::default());
        (folder, loaded.unwrap_or_else(|errors| panic!("{errors}")))
    }

    /// Takes the `#` from every line that is a setting.
    fn uncommented() -> String {
        let setting = |line: &str| {
            line.strip_prefix('#')
                .filter(|rest| {
                    rest.starts_with(|c: char| c.is_ascii_lowercase() || "[{]".contains(c))
                })
                .unwrap_or(line)
                .to_owned()
        };
        EXAMPLE.lines().map(setting).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn it_serves_as_it_is() {
        let (_folder, loaded) = loaded(EXAMPLE);
        let none = Variables::default();
        let (config, warnings) = loaded
            .resolve_sources(&none, Programs::Run, |_, _| false)
            .unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert!(config.recipes.is_empty() && config.source_variables.is_empty());
    }

    #[test]
    fn uncommented_it_is_right_and_has_every_key() {
        let (_folder, loaded) = loaded(&uncommented());
        assert_eq!(loaded.config.recipes.len(), 4);
        let missing: BTreeSet<_> = loaded
            .faults
            .asked
            .take()
            .difference(&loaded.faults.found.take())
            .cloned()
            .collect();
        assert_eq!(
            missing,
            BTreeSet::new(),
            "keys without a line in config.toml"
        );
    }

    #[test]
    fn the_values_shown_are_the_defaults() {
        let (_a, empty) = loaded("");
        let (_b, full) = loaded(&uncommented());
        assert_eq!(empty.config.limits, full.config.limits);
        assert_eq!(empty.config.listen, full.config.listen);
        assert_eq!(empty.config.admin, full.config.admin);
        assert_eq!(empty.config.log, full.config.log);
    }
}
