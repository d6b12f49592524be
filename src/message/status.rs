//! `Proxy-Status` (RFC 9209): what this proxy did, in one field.

use http::HeaderValue;

/// Our name in the field.
const NAME: &str = "staysigned";

/// Writes the field: an error type of RFC 9209 §2.3 if the answer is ours, and details fit for the client.
pub fn field(error: Option<&str>, details: &str) -> HeaderValue {
    let mut value = String::from(NAME);
    if let Some(error) = error {
        value.push_str("; error=");
        value.push_str(error);
    }
    if !details.is_empty() {
        // A structured-field string: printable ASCII, quotes and backslashes escaped (RFC 9651 §3.3.3).
        value.push_str("; details=\"");
        for c in details
            .chars()
            .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
        {
            if matches!(c, '"' | '\\') {
                value.push('\\');
            }
            value.push(c);
        }
        value.push('"');
    }
    HeaderValue::from_str(&value).expect("printable ASCII is a field value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(
            field(Some("dns_error"), "say \"no\"\n"),
            r#"staysigned; error=dns_error; details="say \"no\"?""#
        );
        assert_eq!(field(None, ""), "staysigned");
    }
}
