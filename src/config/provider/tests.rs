use std::path::Path;

use crate::{
    config::{Config, Diagnostics, Found, Place, Variables, load},
    rule::{HostPattern, Recipe, RefreshKind, Url},
};

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn loaded(provider: &str, session: &str, found: Found) -> Result<Config, Diagnostics> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "providers/shop.toml", provider);
    let text = format!("[session.s]\nprovider = \"shop\"\n{session}");
    write(folder.path(), "config.toml", &text);
    let place = Place {
        path: folder.path().join("config.toml"),
        found,
        notes: Vec::new(),
    };
    load(&place, &Variables::default()).map(|loaded| loaded.config)
}

fn recipe(session: &str) -> std::sync::Arc<Recipe> {
    match loaded(SHOP, session, Found::Option) {
        Ok(config) => config.recipes[0].clone(),
        Err(errors) => panic!("{errors}"),
    }
}

const SHOP: &str = r#"
params = { tld = { default = "com" } }
bind = [{ host = "www.shop.{{ tld }}" }, { host = "*.cdn.shop.{{ tld }}" }]
values = { market = "one" }
[cookies]
required = ["sid", "csrf"]
merge = "only"
[[rejected]]
status = [302]
location = "*/signin*"
[[block]]
match = { host = "www.shop.{{ tld }}", path = "/signout" }
[refresh]
kind = "touch"
url = "https://www.shop.{{ tld }}/"
ahead = "1m"
every = "1h"
"#;

#[test]
fn a_provider_is_all_but_the_secrets() {
    let recipe = recipe("");
    assert_eq!(recipe.provider.as_deref(), Some("shop"));
    assert_eq!(&*recipe.name, "s");
    let HostPattern::Exact(host) = &recipe.bind[0].target.host else {
        panic!("the first is exact")
    };
    assert_eq!(host.to_string(), "www.shop.com");
    assert_eq!(recipe.values["market"], "one");
    assert_eq!(recipe.values["tld"], "com");
    assert_eq!(recipe.cookies.required, ["sid", "csrf"]);
    assert_eq!((recipe.rejected.len(), recipe.blocks.len()), (1, 1));
}

#[test]
fn tables_merge_and_lists_replace() {
    let recipe = recipe(
        r#"
        bind = [{ host = "www.shop.{{ tld }}" }]
        values = { tld = "co.uk" }
        [session.s.cookies]
        required = ["sid"]
        [session.s.refresh]
        ahead = "2m"
        "#,
    );
    assert_eq!(recipe.bind.len(), 1);
    assert_eq!(recipe.values["market"], "one");
    assert_eq!(recipe.cookies.required, ["sid"]);
    assert_eq!(recipe.cookies.merge, crate::rule::Merge::Only);
    assert_eq!(recipe.refresh.ahead.as_secs(), 120);
    assert_eq!(recipe.refresh.every.unwrap().as_secs(), 3600);
    let RefreshKind::Touch(url) = &recipe.refresh.kind else {
        panic!("the provider's kind stays")
    };
    assert_eq!(url.origin.to_string(), "https://www.shop.co.uk:443");
}

#[test]
fn rejected_and_block_add_unless_not_inherited() {
    let own = "[[session.s.rejected]]\nstatus = [403]\n[[session.s.block]]\nmatch = { host = \"x.shop.com\" }\n";
    let both = recipe(own);
    assert_eq!((both.rejected.len(), both.blocks.len()), (2, 2));
    assert_eq!(both.rejected[0].status, Some(vec![403]));
    let alone = recipe(&format!("inherit = false\n{own}"));
    assert_eq!((alone.rejected.len(), alone.blocks.len()), (1, 1));
}

#[test]
fn another_kind_leaves_the_providers_keys_alone() {
    let recipe = recipe("[session.s.refresh]\nkind = \"none\"\n");
    assert!(matches!(recipe.refresh.kind, RefreshKind::None));
}

#[test]
fn found_in_the_folder_a_provider_must_be_the_users_own_too() {
    use std::os::unix::fs::PermissionsExt as _;
    let command = format!("{SHOP}\ncommand = [\"true\"]\n").replace("\"touch\"", "\"command\"");
    let command = command.replace("url = \"https://www.shop.{{ tld }}/\"", "");
    assert!(loaded(&command, "", Found::Option).is_ok());
    let error = loaded(&command, "", Found::Folder).unwrap_err();
    assert!(error.to_string().contains("may name no command"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "providers/shop.toml", SHOP);
    write(
        folder.path(),
        "config.toml",
        "[session.s]\nprovider = \"shop\"\n",
    );
    let provider = folder.path().join("providers/shop.toml");
    std::fs::set_permissions(&provider, std::fs::Permissions::from_mode(0o646)).unwrap();
    let place = |found| Place {
        path: folder.path().join("config.toml"),
        found,
        notes: Vec::new(),
    };
    let none = Variables::default();
    assert!(load(&place(Found::Option), &none).is_ok());
    let error = load(&place(Found::Folder), &none).unwrap_err();
    assert!(error.to_string().contains("others may write"), "{error}");
}

#[test]
fn what_follows_from_a_choice() {
    let provider = SHOP.replace(
        "params = { tld = { default = \"com\" } }",
        "[params.region]\ndefault = \"na\"\n[params.region.one_of]\nna = { tld = \"com\" }\neu = { tld = \"de\" }\n",
    );
    // In TOML the plain keys go before the tables.
    let (params, rest) = provider.split_once("bind = ").unwrap();
    let (plain, tables) = rest.split_once("[cookies]").unwrap();
    let provider = format!("bind = {plain}{params}[cookies]{tables}");
    let host = |session: &str| {
        let loaded = loaded(&provider, session, Found::Option);
        loaded.map(|config| config.recipes[0].bind[0].target.to_string())
    };
    assert_eq!(host("").unwrap(), "https://www.shop.com:443/");
    let eu = host("values = { region = \"eu\" }").unwrap();
    assert_eq!(eu, "https://www.shop.de:443/");
    let own = host("values = { region = \"eu\", tld = \"at\" }").unwrap();
    assert_eq!(own, "https://www.shop.at:443/");
    let error = host("values = { region = \"ue\" }").unwrap_err();
    assert_eq!(error.0.len(), 1, "{error}");
    let error = error.to_string();
    assert!(error.contains("does not know this `region`"), "{error}");
    assert!(error.contains("na, eu") || error.contains("eu"), "{error}");
}

/// One mistake in what a provider needs is one fault, in the file of who made it.
#[test]
fn one_mistake_is_one_fault() {
    let none = "secrets = { client_secret = \"env:A\", refresh_token = \"env:B\" }\n";
    for (name, session, says) in [
        ("amazon-ads", none, "needs a value for `client_id`"),
        (
            "amazon-ads",
            "values = { client_id = \"x\", region = \"us\" }\nsecrets = { client_secret = \"env:A\", refresh_token = \"env:B\" }\n",
            "does not know this `region`",
        ),
        (
            "supabase",
            "values = { host = \"abc.supabase.co\" }\n",
            "needs a value for `apikey`",
        ),
        (
            "supabase",
            "values = { host = \"https://abc.supabase.co\", apikey = \"x\" }\n",
            "session.s.values.host: not a host",
        ),
        (
            "audible",
            "values = { tld = \"co.ukk\" }\n",
            "did you mean \"co.uk\"?",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[session.s]\nprovider = \"{name}\"\n{session}");
        write(folder.path(), "config.toml", &text);
        let place = Place {
            path: folder.path().join("config.toml"),
            found: Found::Option,
            notes: Vec::new(),
        };
        let error = load(&place, &Variables::default()).unwrap_err();
        assert_eq!(error.0.len(), 1, "{error}");
        let error = error.to_string();
        assert!(
            error.contains(says) && error.contains("config.toml:"),
            "{error}"
        );
    }
}

/// What a provider needs to be whole, beside its choices.
fn needed(name: &str) -> (&'static str, &'static str) {
    match name {
        "amazon-ads" => (
            "client_id = \"x\"",
            "client_secret = \"env:A\", refresh_token = \"env:B\"",
        ),
        "supabase" => ("host = \"abc.supabase.co\", apikey = \"x\"", ""),
        _ => ("", ""),
    }
}

/// A session of a built-in provider; it must load without a word.
fn built_in(name: &str, chosen: &[(String, String)]) -> std::sync::Arc<Recipe> {
    let folder = tempfile::tempdir().unwrap();
    let (values, secrets) = needed(name);
    let mut text = format!("[session.s]\nprovider = \"{name}\"\n");
    let chosen = chosen
        .iter()
        .map(|(key, value)| format!("{key} = \"{value}\""));
    let values = [values.to_owned()]
        .into_iter()
        .filter(|values| !values.is_empty());
    let values: Vec<String> = values.chain(chosen).collect();
    text += &format!(
        "values = {{ {} }}\nsecrets = {{ {secrets} }}\n",
        values.join(", ")
    );
    write(folder.path(), "config.toml", &text);
    let place = Place {
        path: folder.path().join("config.toml"),
        found: Found::Folder,
        notes: Vec::new(),
    };
    let loaded = load(&place, &Variables::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert!(loaded.warnings.is_empty(), "{text}: {:?}", loaded.warnings);
    loaded.config.recipes[0].clone()
}

/// Every choice of a provider's parameters, combined with every other.
fn choices(name: &str) -> Vec<Vec<(String, String)>> {
    let text = crate::provider::builtin(name).unwrap();
    let table = toml::de::DeTable::parse(text).unwrap().into_inner();
    let mut all = vec![Vec::new()];
    let params = table
        .get("params")
        .and_then(|params| params.get_ref().as_table());
    for (key, param) in params.into_iter().flatten() {
        let Some(one_of) = param.get_ref().get("one_of") else {
            continue;
        };
        let one_of: Vec<String> = match one_of.get_ref() {
            toml::de::DeValue::Array(list) => {
                let texts = list.iter().map(|value| value.get_ref().as_str().unwrap());
                texts.map(str::to_owned).collect()
            }
            toml::de::DeValue::Table(table) => {
                table.keys().map(|key| key.get_ref().to_string()).collect()
            }
            other => panic!("{name}: {other:?}"),
        };
        assert!(one_of.len() > 1, "{name}: {one_of:?}");
        let with = |chosen: &Vec<(String, String)>| {
            let more = one_of.iter().map(|choice| {
                let more = (key.get_ref().to_string(), choice.clone());
                chosen.iter().cloned().chain([more]).collect()
            });
            more.collect::<Vec<Vec<_>>>()
        };
        all = all.iter().flat_map(with).collect();
    }
    all
}

fn hosts(recipe: &Recipe) -> Vec<String> {
    let hosts = recipe.bind.iter().map(|bind| bind.target.host.to_string());
    let mut hosts: Vec<String> = hosts.collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn token_url(recipe: &Recipe) -> String {
    match &recipe.refresh.kind {
        RefreshKind::Oauth2(oauth2) => {
            let Url { origin, path } = &oauth2.token_url;
            format!("{origin}{path}")
        }
        other => panic!("{other:?}"),
    }
}

/// Every built-in provider is right by itself, whatever its choices.
#[test]
fn the_built_in_ones_are_right() {
    for name in crate::provider::names() {
        built_in(name, &[]);
        for chosen in choices(name) {
            built_in(name, &chosen);
        }
    }
}

/// The eleven marketplaces, each with its own hosts, for both kinds of accounts.
#[test]
fn every_marketplace_has_its_hosts() {
    let known = crate::provider::MARKETS.iter().map(|(_, tld)| *tld);
    let chosen = choices("audible");
    assert_eq!(chosen.len(), 22);
    for tld in known {
        for accounts in ["amazon", "audible"] {
            let this = [("accounts", accounts), ("tld", tld)];
            let is_this = |chosen: &&Vec<(String, String)>| {
                let said =
                    |(key, value)| chosen.contains(&(String::from(key), String::from(value)));
                this.into_iter().all(said)
            };
            let chosen = chosen.iter().find(is_this);
            let recipe = built_in("audible", chosen.unwrap_or_else(|| panic!("no {tld}")));
            let mut expected = vec![
                format!("api.{accounts}.{tld}"),
                format!("api.audible.{tld}"),
                "cde-ta-g7g.amazon.com".to_owned(),
                format!("www.audible.{tld}"),
            ];
            expected.sort();
            expected.dedup();
            assert_eq!(hosts(&recipe), expected, "{tld} {accounts}");
            let expected = format!("https://api.{accounts}.{tld}:443/auth/token");
            assert_eq!(token_url(&recipe), expected);
            let blocked = |host: &str| {
                recipe
                    .blocks
                    .iter()
                    .any(|block| block.host.to_string() == host)
            };
            assert!(
                blocked(&format!("api.amazon.{tld}")) && blocked(&format!("api.audible.{tld}"))
            );
        }
    }
}

/// The three regions of Amazon's advertising.
#[test]
fn every_region_has_its_hosts() {
    let regions = [
        (
            "na",
            "advertising-api.amazon.com",
            "api.amazon.com",
            "www.amazon.com",
        ),
        (
            "eu",
            "advertising-api-eu.amazon.com",
            "api.amazon.co.uk",
            "eu.account.amazon.com",
        ),
        (
            "fe",
            "advertising-api-fe.amazon.com",
            "api.amazon.co.jp",
            "apac.account.amazon.com",
        ),
    ];
    assert_eq!(choices("amazon-ads").len(), regions.len());
    for (region, ads, token, login) in regions {
        let chosen = ("region".to_owned(), region.to_owned());
        let recipe = built_in("amazon-ads", &[chosen]);
        assert_eq!(hosts(&recipe), [ads]);
        let expected = format!("https://{token}:443/auth/o2/token");
        assert_eq!(token_url(&recipe), expected);
        let at = recipe
            .login
            .as_ref()
            .unwrap()
            .authorization_endpoint
            .as_ref();
        let at = at.unwrap();
        assert_eq!(
            format!("{}{}", at.origin, at.path),
            format!("https://{login}:443/ap/oa")
        );
    }
}
