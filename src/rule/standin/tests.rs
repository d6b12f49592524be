use proptest::prelude::*;

use super::*;
use crate::rule::jwt;

fn maker(byte: u8) -> Maker {
    Maker::new(&Secret::new([byte; 32]))
}

fn token(header: &str, claims: &str, signature: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{signature}", part(header), part(claims))
}

#[test]
fn shapes_stay() {
    let adp = "{enc:Zm9vYmFyYmF6cXV1eA==}{key:MDEyMzQ1Njc4OWFiY2RlZg==}{iv:YWJjZGVmZ2hpamtsbW5v}{name:QURQVG9rZW5FbmNyeXB0aW9u}{serial:Mg==}";
    let cases = [
        (
            "Atna|EwICIExampleAccessTokenOfManyLetters",
            "^Atna\\|[A-Za-z]{36}$",
        ),
        (
            "Atnr|EwICIA0123456789abcdefXYZ-_",
            "^Atnr\\|[A-Za-z0-9_-]{27}$",
        ),
        ("v5hn7s2kd0qa", "^[a-z0-9]{12}$"),
        ("0123456789abcdef0123456789abcdef", "^[0-9a-f]{32}$"),
        ("0123456789ABCDEF0123456789ABCDEF", "^[0-9A-F]{32}$"),
        ("31415926535897932384", "^[0-9]{20}$"),
        (
            "123e4567-e89b-42d3-a456-426614174000",
            "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$",
        ),
        (
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "^ghp_[A-Za-z0-9]{36}$",
        ),
        (
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "^sk_live_[A-Za-z0-9]{24}$",
        ),
        (
            "ya29.a0AfH6SMBx-abc_def0123456789",
            "^ya29\\.[A-Za-z0-9_-]{28}$",
        ),
        ("1//0gAbCdEfGhIjKlMnOpQrStUvWxYz", "^1//[A-Za-z0-9]{28}$"),
        ("q83vEjRWeJCrze8SNFZ4kA==", "^[A-Za-z0-9]{22}==$"),
        (
            adp,
            r"^\{enc:(.*?)\}\{key:(.*?)\}\{iv:(.*?)\}\{name:(.*?)\}\{serial:Mg==\}$",
        ),
        // Too short to be a secret of its own: something that is one.
        ("abc", "^[A-Za-z0-9]{24}$"),
        ("", "^[A-Za-z0-9]{24}$"),
        ("пароль и ещё слова", "^[A-Za-z0-9]{24}$"),
    ];
    for (secret, pattern) in cases {
        let standin = maker(1).make("f", secret);
        let pattern = regex::Regex::new(pattern).unwrap();
        assert!(pattern.is_match(&standin), "{secret}: {standin}");
        assert!(maker(1).recognises("f", &standin), "{standin}");
        assert!(!maker(1).recognises("f", secret), "{secret}");
        // No run of the value is left, but what names its kind.
        let rest = secret.as_bytes();
        let left = (0..rest.len().saturating_sub(14)).filter(|at| {
            standin.contains(std::str::from_utf8(&rest[*at..*at + 14]).unwrap_or("\0"))
        });
        assert_eq!(left.count(), 0, "{secret}: {standin}");
    }
}

#[test]
fn a_jwt_stays_one_with_its_claims() {
    let claims = r#"{"sub":"u1","exp":1700000000,"role":"authenticated"}"#;
    for (algorithm, length) in [("HS256", 43), ("ES256", 86), ("RS256", 342)] {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
        let secret = token(&header, claims, &"s".repeat(length));
        let standin = maker(1).make("access_token", &secret);
        assert_eq!(standin.len(), secret.len());
        assert_eq!(jwt::payload(&standin), jwt::payload(&secret));
        let (shown, signature) = standin.rsplit_once('.').unwrap();
        assert!(secret.starts_with(shown));
        assert!(
            URL_SAFE_NO_PAD.decode(signature).is_ok(),
            "canonical base64"
        );
        assert!(!secret.ends_with(signature));
        assert!(maker(1).recognises("access_token", &standin));
        assert!(!maker(1).recognises("access_token", &secret));
    }
}

#[test]
fn a_token_without_a_signature_is_a_secret_from_its_first_character() {
    let claims = r#"{"sub":"u1","exp":1700000000}"#;
    for signature in ["", "short"] {
        let secret = token(r#"{"alg":"none"}"#, claims, signature);
        let standin = maker(1).make("f", &secret);
        assert!(jwt::payload(&standin) != jwt::payload(&secret), "{standin}");
        assert!(maker(1).recognises("f", &standin));
    }
}

#[test]
fn it_depends_on_key_field_and_value() {
    let secret = "0pAqUe-ToKeN_of_thirty-two-chars";
    let standin = maker(1).make("f", secret);
    assert_eq!(standin, maker(1).make("f", secret));
    for other in [
        maker(2).make("f", secret),
        maker(1).make("g", secret),
        maker(1).make("f", "0pAqUe-ToKeN_of_thirty-two-charz"),
    ] {
        assert_ne!(standin, other);
    }
    assert!(!maker(2).recognises("f", &standin));
    assert!(!maker(1).recognises("g", &standin));
    assert!(!maker(1).recognises("f", &format!("x{standin}")));
}

proptest! {
    #[test]
    fn any_secret_has_one_of_its_length_and_letters(
        secret in "([a-z]{2,4}[|_-])?[A-Za-z0-9_-]{12,80}={0,2}|[a-f0-9]{16,64}|[A-Z0-9]{12,40}|[ -~]{0,60}|.{0,40}"
    ) {
        let standin = maker(3).make("f", &secret);
        prop_assert!(standin != secret);
        prop_assert!(maker(3).recognises("f", &standin));
        prop_assert!(!maker(4).recognises("f", &standin));
        prop_assert!(http::HeaderValue::from_str(&standin).is_ok() || http::HeaderValue::from_str(&secret).is_err());
        if Shape::of(&secret).is_some() {
            prop_assert_eq!(standin.chars().count(), secret.chars().count());
            for (a, b) in secret.chars().zip(standin.chars()) {
                prop_assert_eq!(a.is_ascii_alphanumeric() || "-_+/".contains(a), b.is_ascii_alphanumeric() || "-_+/".contains(b));
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        let _ = maker(1).recognises("f", &text);
    }
}
