//! The importers of texts: a good file of each, and what each fault makes of it.

use std::{fs, path::Path};

use super::{
    Bom, Cannot, Crlf, Fault, FlippedByte, Large, Locked, NoKeyring, Refused, Says, Truncated,
    Twice, Whole, WrongPassword, WrongType,
};

const TOKEN: &str = "gAAAAABpVzWlZGVmZ2hpamtsbW5vcHFyc1ZS8DA6RFKnpmqtvpabGXQY8Ii_Hqt8c0kQgenSVtKJNvp7oIz53ZnDTIfqFoJz9w==";
pub const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// One importer: the session, the options, a good file, and the files with a fault.
pub struct Importer {
    pub name: &'static str,
    pub session: &'static str,
    pub options: &'static [&'static str],
    pub good: Vec<u8>,
    pub cells: Vec<(Fault, Vec<u8>, Says)>,
}

const NO_PASSWORD: Says = Cannot("it is not encrypted");
const NO_DATABASE: Says = Cannot("it is no database");
const NO_KEYRING: Says = Cannot("it has nothing to do with a keyring");
const TOO_LARGE: Says = Refused(&["is larger than 16 MiB", "hint: is it the right file?"]);

impl Importer {
    /// Faults that all texts have in common; `large` is made where it is needed.
    fn text(
        name: &'static str,
        session: &'static str,
        options: &'static [&'static str],
        good: impl Into<Vec<u8>>,
    ) -> Self {
        let good = good.into();
        let bom = [b"\xef\xbb\xbf", good.as_slice()].concat();
        let crlf = String::from_utf8_lossy(&good)
            .replace('\n', "\r\n")
            .into_bytes();
        Self {
            name,
            session,
            options,
            cells: vec![
                (WrongPassword, Vec::new(), NO_PASSWORD),
                (Bom, bom, Whole),
                (Crlf, crlf, Whole),
                (Large, Vec::new(), TOO_LARGE),
                (Locked, Vec::new(), NO_DATABASE),
                (NoKeyring, Vec::new(), NO_KEYRING),
            ],
            good,
        }
    }

    /// The file with a fault, and what is said of it; instead of an earlier one.
    fn with(mut self, fault: Fault, file: impl Into<Vec<u8>>, says: Says) -> Self {
        self.cells.retain(|(known, ..)| *known != fault);
        self.cells.push((fault, file.into(), says));
        self
    }

    /// The file cut off in its middle.
    fn cut(self, at: usize, words: &'static [&'static str]) -> Self {
        let file = self.good[..at].to_vec();
        self.with(Truncated, file, Refused(words))
    }

    /// The file with one byte changed: the first of `from` behind `behind`.
    fn flipped(self, behind: &str, words: &'static [&'static str]) -> Self {
        let text = self.good.clone();
        let found = text
            .windows(behind.len())
            .position(|w| w == behind.as_bytes());
        let mut file = text;
        file[found.expect("the place") + behind.len()] ^= 0x10;
        self.with(FlippedByte, file, Refused(words))
    }
}

fn vector(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vectors");
    fs::read(path.join(name)).expect("a vector")
}

pub fn importers() -> Vec<Importer> {
    let cookies = "# Netscape HTTP Cookie File\nwww.site.example\tFALSE\t/\tTRUE\t4102444800\tsid\tcanary-one\n\
                   .site.example\tTRUE\t/\tFALSE\t0\tseen\tcanary-two\n";
    let array = "[\n{\"domain\": \"www.site.example\", \"name\": \"sid\", \"value\": \"canary-one\"},\n\
                 {\"domain\": \"www.site.example\", \"name\": \"seen\", \"value\": \"canary-two\"}\n]\n";
    let state = format!("{{\"cookies\": {array}, \"origins\": []}}\n");
    let har = "{\"log\": {\"entries\": [\n{\"request\": {\"url\": \"https://www.site.example/\", \"headers\": [\n\
               {\"name\": \"Cookie\", \"value\": \"sid=canary-one\"}]}}]}}\n";
    let curl = "curl 'https://www.site.example/' \\\n  -H 'Accept: */*' \\\n  -b 'sid=canary-one; seen=canary-two'\n";
    let header = "Cookie: sid=canary-one; seen=canary-two\nAccept: */*\n";
    let tokens = "{\"access_token\": \"canary-at\",\n\"refresh_token\": \"canary-rt\",\n\"expires_in\": 3600}\n";
    let session = "{\"sb-abcd-auth-token\":\n\"{\\\"access_token\\\": \\\"canary-at\\\", \\\"refresh_token\\\": \\\"canary-rt\\\", \
                   \\\"expires_at\\\": 4102444800}\"}\n";
    let fernet = format!("{{\"access_token\": \"{TOKEN}\",\n\"refresh_token\": \"{TOKEN}\"}}\n");
    let site: &[&str] = &["--domain", "www.site.example"];
    let page = "<!DOCTYPE html><html><title>Sign in</title></html>";
    vec![
        Importer::text("cookies-txt", "site", &[], cookies)
            .cut(100, &["line 3", "hint: a line has seven fields"])
            .flipped(
                "www.site.example",
                &["line 2", "hint: a line has seven fields"],
            )
            .with(
                WrongType,
                array,
                Refused(&["it is JSON", "hint: use --from json"]),
            )
            // As a browser that is told one after the other.
            .with(
                Twice,
                format!("{cookies}www.site.example\tFALSE\t/\tTRUE\t0\tsid\tcanary-three\n"),
                Whole,
            ),
        Importer::text("json", "site", &[], array)
            .cut(
                60,
                &["line 2", "ends too early", "hint: the file may be cut off"],
            )
            .flipped("\"name\"", &["line 2", "not well-formed"])
            .with(
                WrongType,
                cookies,
                Refused(&["a cookies.txt", "hint: use --from cookies-txt"]),
            )
            .with(
                Twice,
                array.replacen("\"value\"", "\"name\"", 1),
                Refused(&["line 2", "key \"name\" is there twice"]),
            ),
        Importer::text("storage-state", "site", &[], state.clone())
            .cut(80, &["line 2", "ends too early"])
            .flipped("\"cookies\"", &["line 1", "not well-formed"])
            .with(
                WrongType,
                array,
                Refused(&["it is JSON", "hint: use --from json"]),
            )
            .with(
                Twice,
                format!("{{\"cookies\": [], {}", &state[1..]),
                Refused(&["key \"cookies\"", "it is there twice"]),
            ),
        Importer::text("har", "site", &[], har)
            .cut(90, &["ends too early"])
            .flipped("\"log\"", &["line 1", "not well-formed"])
            .with(WrongType, page, Refused(&["a web page", "export it again"]))
            .with(
                Twice,
                har.replacen(
                    "\"headers\"",
                    "\"url\": \"https://other.example/\", \"headers\"",
                    1,
                ),
                Refused(&["line 2", "key \"url\" is there twice"]),
            )
            .with(
                Large,
                "",
                Refused(&["is larger than 64 MiB", "hint: record anew"]),
            ),
        Importer::text("curl", "site", &[], curl)
            .cut(curl.len() - 10, &["quote", "hint: "])
            .flipped("curl ", &["hint: "])
            .with(
                WrongType,
                cookies,
                Refused(&["a cookies.txt", "hint: use --from cookies-txt"]),
            )
            .with(Twice, curl.replacen("seen", "sid", 1), Whole),
        Importer::text("header", "site", site, header)
            .with(
                Truncated,
                "Cookie: ",
                Refused(&["it holds no cookie", "hint: export it again"]),
            )
            .with(
                FlippedByte,
                header.replacen("sid", "\u{3}id", 1),
                Refused(&["line 1", "a control character", "hint: "]),
            )
            .with(
                WrongType,
                array,
                Refused(&["it is JSON", "hint: use --from json"]),
            )
            .with(Twice, header.replacen("seen", "sid", 1), Whole),
        Importer::text("json", "tokens", &[], tokens)
            .cut(50, &["line 2", "ends too early"])
            .flipped("\"access_token\"", &["line 1", "not well-formed"])
            .with(WrongType, page, Refused(&["a web page"]))
            .with(
                Twice,
                tokens.replacen("refresh", "access", 1),
                Refused(&["key \"access_token\"", "it is there twice"]),
            ),
        Importer::text("supabase", "app", &[], session)
            .cut(60, &["line 2", "ends too early"])
            .flipped("\"sb-abcd-auth-token\"", &["line 1", "not well-formed"])
            .with(
                WrongType,
                cookies,
                Refused(&["not in the shape", "hint: copy the entry sb-"]),
            )
            .with(
                Twice,
                session.replacen(
                    "\\\"access_token\\\":",
                    "\\\"access_token\\\": \\\"x\\\", \\\"access_token\\\":",
                    1,
                ),
                Refused(&["access_token", "twice"]),
            ),
        Importer::text("fernet", "tokens", &["--key", "env:KEY"], fernet.clone())
            .cut(60, &["line 1", "ends too early"])
            .with(
                WrongPassword,
                fernet.clone(),
                Refused(&["key \"access_token\": no key fits", "--key"]),
            )
            .flipped(
                "gAAAAABpVzWlZGVmZ2hp",
                &["key \"access_token\": no key fits"],
            )
            .with(
                WrongType,
                cookies,
                Refused(&["the token: it is not URL-safe base64", "hint: mend it"]),
            )
            .with(
                Twice,
                fernet.replacen("refresh", "access", 1),
                Refused(&["key \"access_token\"", "it is there twice"]),
            ),
        audible("auth_plain.json", false),
        audible("auth_json.enc.json", true),
        audible("auth_bytes.enc", true),
    ]
}

fn audible(name: &'static str, sealed: bool) -> Importer {
    const PASSWORD: &[&str] = &["--password", "env:PASSWORD"];
    let good = vector(name);
    let text = String::from_utf8_lossy(&good).into_owned();
    let middle = good.len() / 2;
    let importer = Importer::text(
        "audible",
        "audible",
        if sealed { PASSWORD } else { &[] },
        good.clone(),
    );
    let wrong: Says = Refused(&[
        "the password is wrong, or the file is damaged",
        "hint: try it with the tool",
    ]);
    let importer = match sealed {
        true => importer.with(WrongPassword, good.clone(), wrong.clone()),
        false => importer,
    };
    let importer = importer.with(
        WrongType,
        "sid=1",
        Refused(&["not in the shape", "hint: name a file that the audible"]),
    );
    match name {
        "auth_plain.json" => importer
            .cut(middle, &["ends too early"])
            .flipped(
                "PRIVATE KEY-----\\nMIIE",
                &["key \"device_private_key\"", "RSA private key"],
            )
            .with(
                Twice,
                text.replacen("\"adp_token\"", "\"adp_token\": \"x\", \"adp_token\"", 1),
                Refused(&["key \"adp_token\"", "it is there twice"]),
            ),
        "auth_json.enc.json" => importer
            .cut(middle, &["ends too early"])
            .flipped(
                "\"ciphertext\": \"",
                &["the password is wrong, or the file is damaged"],
            )
            .with(
                Twice,
                text.replacen("\"salt\"", "\"salt\": \"x\", \"salt\"", 1),
                Refused(&["key \"salt\"", "it is there twice"]),
            ),
        _ => {
            let mut flipped = good;
            flipped[20] ^= 1;
            importer
                .cut(middle | 1, &["the encrypted file", "it is cut off"])
                .with(FlippedByte, flipped, wrong)
                .with(Bom, "", Cannot("it is no text"))
                .with(Crlf, "", Cannot("it is no text"))
                .with(Twice, "", Cannot("its keys are encrypted"))
        }
    }
}
