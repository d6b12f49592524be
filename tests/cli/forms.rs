//! `import` and `export` in every form, through the running proxy and without one: what goes in by one form comes out
//! by all, and goes in again.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::Said;
use crate::support::proxy::{Proxy, proxy};

/// Two sessions alike, so that what one gives can be put into the other.
const SITES: &str = "[session.site]\nbind = [{ host = \"www.site.example\" }]\n[session.site.cookies]\nrequired = [\"sid\"]\n\
                     [session.site.refresh]\nkind = \"none\"\n\
                     [session.copy]\nbind = [{ host = \"www.site.example\", path = \"/copy/*\" }]\n\
                     [session.copy.cookies]\nrequired = [\"sid\"]\n[session.copy.refresh]\nkind = \"none\"\n";

/// A form, more arguments, the text, and the fields of a request that come of it.
type Form = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
);

const COOKIE: &str = "Cookie: lang=de; sid=a.b==\n";
const TOKEN: &str = "Authorization: Bearer Atza|hello\n";
const HERE: &[&str] = &["--domain", "www.site.example"];

/// 5.4.10: `{"access_token": "Atza|hello"}` in the format's own code, and its key.
const FERNET: &str = "{\"access_token\": \"gAAAAABpVzWlZGVmZ2hpamtsbW5vcHFyc1ZS8DA6RFKnpmqtvpabGXQY8Ii_Hqt8c0kQgenSVtKJNvp7oIz53ZnDTIfqFoJz9w==\"}";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const NEWER: &str = "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const FORMS: &[Form] = &[
    // curl and wget, Python, and a browser's extension on Windows.
    (
        "cookies-txt",
        &[],
        "# Netscape HTTP Cookie File\n# https://curl.se/docs/http-cookies.html\n\n\
         #HttpOnly_www.site.example\tFALSE\t/\tTRUE\t4102444800\tsid\ta.b==\n\
         .site.example\tTRUE\t/\tFALSE\t0\tlang\tde\n",
        COOKIE,
    ),
    (
        "cookies-txt",
        &[],
        "# HTTP Cookie File\nwww.site.example\tFALSE\t/\tTRUE\t4102444800\tsid\ta.b==\n\
         www.site.example\tFALSE\t/\tTRUE\t\tlang\tde\n",
        COOKIE,
    ),
    (
        "cookies-txt",
        &[],
        "\u{feff}www.site.example\tFALSE\t/\tTRUE\t4102444800.5\tsid\ta.b==\r\n\
         .site.example\tTRUE\t/\tTRUE\t4102444800\tlang\tde\r\n",
        COOKIE,
    ),
    (
        "json",
        &[],
        "[{\"domain\": \"www.site.example\", \"hostOnly\": true, \"httpOnly\": true, \"name\": \"sid\", \"path\": \"/\", \
          \"sameSite\": \"lax\", \"secure\": true, \"session\": false, \"expirationDate\": 4102444800.25, \"value\": \"a.b==\"},\
          {\"domain\": \".site.example\", \"hostOnly\": false, \"name\": \"lang\", \"path\": \"/\", \"session\": true, \"value\": \"de\"}]",
        COOKIE,
    ),
    (
        "json",
        HERE,
        "{\"sid\": \"a.b==\", \"lang\": \"de\"}",
        COOKIE,
    ),
    (
        "storage-state",
        &[],
        "{\"cookies\": [{\"name\": \"sid\", \"value\": \"a.b==\", \"domain\": \"www.site.example\", \"path\": \"/\", \"expires\": -1, \
          \"httpOnly\": true, \"secure\": true, \"sameSite\": \"Lax\"}, {\"name\": \"lang\", \"value\": \"de\", \
          \"domain\": \".site.example\", \"path\": \"/\", \"expires\": 4102444800, \"secure\": false}], \"origins\": []}",
        COOKIE,
    ),
    ("header", HERE, "Cookie: sid=a.b==; lang=de\r\n", COOKIE),
    ("header", HERE, "sid=a.b==; lang=de", COOKIE),
    ("header", HERE, "Authorization: Bearer Atza|hello", TOKEN),
    (
        "json",
        &[],
        "{\"access_token\": \"Atza|hello\", \"token_type\": \"Bearer\", \"expires_at\": 4102444800}",
        TOKEN,
    ),
    (
        "supabase",
        &[],
        "{\"sb-abcd-auth-token\": \"{\\\"access_token\\\":\\\"Atza|hello\\\",\\\"refresh_token\\\":\\\"rt\\\",\\\"expires_at\\\":4102444800}\"}",
        TOKEN,
    ),
    ("fernet", &["--key", "env:FERNET"], FERNET, TOKEN),
    // Two keys, of which the older opens it (MultiFernet).
    ("fernet", &["--key", "env:KEYS"], FERNET, TOKEN),
];

/// The fields of a request, its cookies in the order of the alphabet: a form may have another order.
fn fields(proxy: &Proxy, session: &str) -> String {
    let said: Said = proxy.cli(&["export", session, "--to", "header"]).into();
    let fields = said.good();
    let Some(cookies) = fields.strip_prefix("Cookie: ") else {
        return fields;
    };
    let mut cookies: Vec<_> = cookies.trim_end().split("; ").collect();
    cookies.sort_unstable();
    format!("Cookie: {}\n", cookies.join("; "))
}

fn imported(proxy: &Proxy, session: &str, form: &str, more: &[&str], text: &str) {
    let arguments = [&["import", session, "--from", form], more].concat();
    let said: Said = proxy.cli_with(&arguments, text).into();
    assert!(said.good().contains(" taken\n"), "{form}");
}

fn emptied(proxy: &Proxy, session: &str) {
    let said: Said = proxy.cli(&["logout", session, "--yes"]).into();
    said.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_in_comes_out() {
    for running in [false, true] {
        let keys = format!("{NEWER},{KEY}");
        let mut proxy = proxy()
            .config(SITES)
            .env("FERNET", KEY)
            .env("KEYS", &keys)
            .prepare();
        if running {
            proxy.start().await;
        }
        for (form, more, text, expected) in FORMS {
            imported(&proxy, "site", form, more, text);
            assert_eq!(fields(&proxy, "site"), *expected, "{form} {text}");
            for way in [
                "cookies-txt",
                "json",
                "cookies-json",
                "storage-state",
                "header",
            ] {
                let tokens = *expected == TOKEN;
                if tokens && !matches!(way, "json" | "header") {
                    let said: Said = proxy.cli(&["export", "site", "--to", way]).into();
                    said.bad(1, &["nothing was exported", "tokens to json and header"]);
                    continue;
                }
                let file = format!("out.{way}");
                let said: Said = proxy.cli(&["export", "site", "--to", way, &file]).into();
                assert_eq!((said.code, &*said.out), (0, ""), "{}", said.err);
                let path = proxy.path().join(file);
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{way}");
                let more = match way {
                    "header" if !tokens => HERE,
                    "cookies-json" => HERE,
                    _ => &[],
                };
                let text = fs::read_to_string(&path).unwrap();
                let back = way.strip_prefix("cookies-").filter(|way| *way == "json");
                imported(&proxy, "copy", back.unwrap_or(way), more, &text);
                assert_eq!(fields(&proxy, "copy"), *expected, "{form} {way} {text}");
                emptied(&proxy, "copy");
            }
            emptied(&proxy, "site");
        }
    }
}
