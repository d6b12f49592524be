//! What a file of another kind is called, and what is said to use instead.

use super::*;

#[test]
fn what_it_is_is_said() {
    let database = b"SQLite format 3\0".as_slice();
    let fields = b"Cookie: sid=one\nAccept: */*\n".as_slice();
    let cookies = b".a.test\tTRUE\t/\tTRUE\t0\tsid\tone\n".as_slice();
    let state = b"{\"cookies\": []}".as_slice();
    let har = b"{\"log\": {\"entries\": []}}".as_slice();
    let session = b"{\"sb-x-auth-token\": \"{}\"}".as_slice();
    let wanted = "audible library or audible-cli";
    for (kind, text, says, hint) in [
        (Kind::Json, database, "a database", "--from firefox"),
        (Kind::CookiesTxt, database, "a database", "--from firefox"),
        (
            Kind::CookiesTxt,
            fields,
            "fields of a request",
            "--from header",
        ),
        (Kind::Json, b"\xff\x00", "it is no UTF-8", "as UTF-8"),
        (Kind::Json, cookies, "a cookies.txt", "--from cookies-txt"),
        (Kind::Json, fields, "fields of a request", "--from header"),
        (
            Kind::Json,
            b"<!DOCTYPE html><html>",
            "a web page",
            "export it again",
        ),
        (
            Kind::Json,
            b"curl https://a.test/",
            "a curl command",
            "--from curl",
        ),
        (
            Kind::Json,
            b"nonsense",
            "not in the shape",
            "json is an array",
        ),
        (Kind::StorageState, har, "a HAR recording", "--from har"),
        (Kind::Har, state, "a storage state", "--from storage-state"),
        (Kind::Har, b"{}", "it is JSON", "--from json"),
        (
            Kind::CookiesTxt,
            session,
            "a Supabase session",
            "--from supabase",
        ),
        (Kind::Curl, b"gAAAAABo", "a Fernet token", "--from fernet"),
        (
            Kind::Supabase,
            b"a=b; c=d",
            "not in the shape",
            "local storage",
        ),
        (Kind::Audible, b"a=b; c=d", "not in the shape", wanted),
        (
            Kind::Audible,
            state,
            "a storage state",
            "--from storage-state",
        ),
        (
            Kind::Fernet,
            b"{\"ciphertext\": \"\", \"salt\": \"\"}",
            "",
            "",
        ),
    ] {
        let options = Options {
            key: Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into()),
            ..options("")
        };
        let error = read(kind, text, &options).unwrap_err();
        let said = format!("{error}; {}", error.hint().unwrap_or_default());
        assert!(
            said.contains(says) && said.contains(hint),
            "{kind:?}: {said}"
        );
    }
}
