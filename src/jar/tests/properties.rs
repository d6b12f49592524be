//! Whatever comes in: no panic, and no line of its own in a request.

use proptest::prelude::*;

use super::*;

fn bytes(least: u8) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(least.., 0..64)
}

proptest! {
    #[test]
    fn no_field_breaks_the_jar(
        fields in prop::collection::vec(prop_oneof![bytes(0x20), bytes(0)], 0..20),
        path in ".{0,20}",
        now in any::<u32>(),
    ) {
        let mut jar = small(5, 3);
        for (n, field) in fields.iter().enumerate() {
            let url = ["https://a.example.com", "http://example.com", "https://127.0.0.1"][n % 3];
            let _ = jar.store(&origin(url), &path, field, at(now.into()));
            prop_assert!(jar.len() <= 5);
            prop_assert_eq!(jar.len(), jar.domains.values().map(|b| b.len()).sum::<usize>());
            if let Some(value) = jar.cookie_string(&origin(url), &path, at(now.into())) {
                prop_assert!(!value.as_bytes().iter().any(|b| b"\r\n\0".contains(b)));
            }
        }
    }

    #[test]
    fn no_attribute_breaks_the_jar(
        name in "[a-zA-Z_=\\-\\t ]{0,12}",
        value in "[^\\x00]{0,20}",
        attributes in "(; ?(max-age|expires|domain|path|secure|samesite|HttpOnly)=?[-0-9a-zA-Z:.,/ \"é]{0,24}){0,5}",
    ) {
        let mut jar = jar();
        let field = format!("{name}={value}{attributes}");
        let outcome = jar.store(&origin(HOST), "/dir/page", field.as_bytes(), at(NOW));
        if let Stored::Changed(key) = outcome.stored {
            let cookie = jar.get(&key).unwrap();
            prop_assert_eq!(cookie.check(4096), Ok(()));
            prop_assert!(cookie.expires.is_none_or(|end| end > at(NOW) && end <= at(NOW + 400 * DAY)));
        }
    }
}
