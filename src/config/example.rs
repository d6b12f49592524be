//! The commented example that `staysigned init` writes: the `config.toml` of the project itself.

/// The text; every key stands in it, most of them commented out.
pub const EXAMPLE: &str = include_str!("../../config.toml");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{Found, Loaded, Place, Programs, Variables, load};

    const PROVIDER: &str = "params = { tenant = { default = \"na\", one_of = [\"na\", \"eu\"] }, zone = { required = false } }\n";

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("providers")).unwrap();
        std::fs::write(folder.path().join("providers/example.toml"), PROVIDER).unwrap();
        folder
    }

    fn written(folder: &tempfile::TempDir, text: &str) -> Place {
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        Place {
            path,
            found: Found::Option,
            notes: Vec::new(),
        }
    }

    fn loaded(text: &str) -> (tempfile::TempDir, Loaded) {
        let folder = folder();
        let loaded = load(&written(&folder, text), &Variables::default());
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
        assert_eq!(loaded.config.recipes.len(), 6);
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Whatever becomes of the text: it is taken or refused, and every fault has its place.
        #[test]
        fn a_damaged_file_is_refused_in_good_order(
            cut in any::<prop::sample::Index>(),
            length in 0usize..60,
            put in "[ -~\u{e9}\u{1f512}\n\"'#={}\\[\\]]{0,6}",
        ) {
            let mut text = uncommented();
            let floor = |at: usize| (0..=at.min(text.len())).rfind(|at| text.is_char_boundary(*at));
            let start = floor(cut.index(text.len())).unwrap_or(0);
            let end = floor(start + length).unwrap_or(start);
            text.replace_range(start..end, &put);
            let folder = folder();
            if let Err(errors) = load(&written(&folder, &text), &Variables::default()) {
                prop_assert!(!errors.0.is_empty());
                for error in errors.0 {
                    prop_assert!(error.line > 0 && error.column > 0, "{error}");
                }
            }
        }
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
