//! A CA certificate as far as its own issuer reads it (RFC 5280 §4.1, §4.2). It comes from the CA's folder and is not
//! verified here: that the key fits is shown by a leaf that verifies (`root`).

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use time::{Date, Month, OffsetDateTime, Time};

use super::der::{Reader, tag};

/// The parts of a CA certificate that leaves repeat, and those that say whether it may issue any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    /// The whole `Name`, as it stands.
    pub(super) subject: Vec<u8>,
    pub(super) self_issued: bool,
    /// The last common name of the subject.
    pub(super) common_name: Option<String>,
    pub(super) not_after: SystemTime,
    /// The whole `SubjectPublicKeyInfo`.
    pub(super) public_key: Vec<u8>,
    pub(super) key_id: Option<Vec<u8>>,
    pub(super) is_ca: bool,
    /// Whether `keyUsage` allows certificates to be signed (true without the extension).
    pub(super) may_sign: bool,
    pub(super) constrained: bool,
}

mod oid {
    pub(super) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    pub(super) const KEY_ID: &[u8] = &[0x55, 29, 14];
    pub(super) const KEY_USAGE: &[u8] = &[0x55, 29, 15];
    pub(super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 29, 19];
    pub(super) const NAME_CONSTRAINTS: &[u8] = &[0x55, 29, 30];
}

// === impl Certificate ===

impl Certificate {
    /// Reads a certificate; `None` if it is none, or has no place for what a CA needs.
    pub(super) fn parse(der: CertificateDer<'static>) -> Option<Self> {
        let mut outer = Reader::new(&der);
        let mut signed = Reader::new(outer.take(tag::SEQUENCE)?.content);
        let mut tbs = Reader::new(signed.take(tag::SEQUENCE)?.content);
        let _version = tbs.take(tag::CONTEXT_0);
        let _serial = tbs.take(tag::INTEGER)?;
        let _algorithm = tbs.take(tag::SEQUENCE)?;
        let issuer = tbs.take(tag::SEQUENCE)?.whole;
        let mut validity = Reader::new(tbs.take(tag::SEQUENCE)?.content);
        let _not_before = validity.next()?;
        let not_after = validity.next()?;
        let not_after = moment(not_after.tag, not_after.content)?;
        let subject = tbs.take(tag::SEQUENCE)?;
        let public_key = tbs.take(tag::SEQUENCE)?.whole.to_vec();
        let mut read = Self {
            subject: subject.whole.to_vec(),
            self_issued: issuer == subject.whole,
            common_name: common_name(subject.content),
            not_after,
            public_key,
            key_id: None,
            is_ca: false,
            may_sign: true,
            constrained: false,
            der: der.clone(),
        };
        while let Some(value) = tbs.next() {
            if value.tag == tag::CONTEXT_3 {
                let mut list = Reader::new(Reader::new(value.content).take(tag::SEQUENCE)?.content);
                while let Some(extension) = list.take(tag::SEQUENCE) {
                    read.extension(extension.content)?;
                }
            }
        }
        Some(read)
    }

    fn extension(&mut self, content: &[u8]) -> Option<()> {
        let mut extension = Reader::new(content);
        let id = extension.take(tag::OID)?.content;
        let _critical = extension.take(tag::BOOLEAN);
        let mut inner = Reader::new(extension.take(tag::OCTET_STRING)?.content);
        match id {
            oid::KEY_ID => self.key_id = Some(inner.take(tag::OCTET_STRING)?.content.to_vec()),
            // Bit 5 is keyCertSign; the first byte counts the unused bits.
            oid::KEY_USAGE => {
                let bits = inner.take(tag::BIT_STRING)?.content;
                self.may_sign = bits.get(1).is_some_and(|b| b & 0x04 != 0);
            }
            oid::BASIC_CONSTRAINTS => {
                let mut constraints = Reader::new(inner.take(tag::SEQUENCE)?.content);
                let ca = constraints.take(tag::BOOLEAN);
                self.is_ca = ca.is_some_and(|ca| ca.content != [0]);
            }
            oid::NAME_CONSTRAINTS => self.constrained = true,
            _ => {}
        }
        Some(())
    }
}

fn common_name(subject: &[u8]) -> Option<String> {
    let mut found = None;
    let mut sets = Reader::new(subject);
    while let Some(set) = sets.next() {
        let mut parts = Reader::new(set.content);
        while let Some(part) = parts.take(tag::SEQUENCE) {
            let mut pair = Reader::new(part.content);
            if pair.take(tag::OID)?.content == oid::COMMON_NAME {
                found = Some(String::from_utf8_lossy(pair.next()?.content).into_owned());
            }
        }
    }
    found
}

/// Reads `UTCTime` and `GeneralizedTime` in the one form that RFC 5280 §4.1.2.5 allows, to the second and in `Z`.
fn moment(kind: u8, text: &[u8]) -> Option<SystemTime> {
    let text = str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match kind {
        tag::UTC_TIME if text.len() == 12 => {
            let year: i32 = text[..2].parse().ok()?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                &text[2..],
            )
        }
        tag::GENERALIZED_TIME if text.len() == 14 => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let part = |n: usize| rest[n * 2..n * 2 + 2].parse::<u8>().ok();
    let month = Month::try_from(part(0)?).ok()?;
    let date = Date::from_calendar_date(year, month, part(1)?).ok()?;
    let time = Time::from_hms(part(2)?, part(3)?, part(4)?).ok()?;
    let seconds = OffsetDateTime::new_utc(date, time).unix_timestamp();
    let since = Duration::from_secs(u64::try_from(seconds).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        for (kind, text, expected) in [
            (tag::UTC_TIME, "700101000001Z", at(1)),
            (tag::UTC_TIME, "491231235959Z", at(2_524_607_999)),
            (tag::GENERALIZED_TIME, "20500101000000Z", at(2_524_608_000)),
            (tag::UTC_TIME, "700101000001", None),
            (tag::UTC_TIME, "701301000001Z", None),
            (tag::GENERALIZED_TIME, "700101000001Z", None),
            (tag::UTC_TIME, "7001010000\u{e9}Z", None),
        ] {
            assert_eq!(moment(kind, text.as_bytes()), expected, "{text}");
        }
    }
}
