//! The dates of `Expires` (RFC 6265bis §5.1.1): tokens in any order, as servers have always written them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{Date, Month, Time};

const MONTHS: [&[u8; 3]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// Reads a cookie date; what lies before 1970 becomes 1970, which is over just the same.
pub(super) fn parse(text: &[u8]) -> Option<SystemTime> {
    let (mut clock, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|b| is_delimiter(*b)) {
        if clock.is_none()
            && let Some(found) = hms(token)
        {
            clock = Some(found);
        } else if day.is_none()
            && let Some(found) = number(token, 1, 2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = number(token, 2, 4)
        {
            year = Some(found);
        }
    }
    let year = match year? {
        short @ 70..=99 => short + 1900,
        short @ 0..=69 => short + 2000,
        whole if whole < 1601 => return None,
        whole => whole,
    };
    let (hour, minute, second) = clock?;
    let date = Date::from_calendar_date(i32::from(year), month?, u8::try_from(day?).ok()?).ok()?;
    let time = Time::from_hms(hour, minute, second).ok()?;
    let seconds = date.with_time(time).assume_utc().unix_timestamp();
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn is_delimiter(b: u8) -> bool {
    matches!(b, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// Reads `h:m:s`, each of one or two digits, and lets anything follow that is no digit.
fn hms(token: &[u8]) -> Option<(u8, u8, u8)> {
    let mut parts = token.splitn(3, |b| *b == b':');
    let exact = |part: &[u8]| {
        part.iter()
            .all(u8::is_ascii_digit)
            .then(|| number(part, 1, 2))?
    };
    let hour = exact(parts.next()?)?;
    let minute = exact(parts.next()?)?;
    let second = number(parts.next()?, 1, 2)?;
    let byte = |n| u8::try_from(n).ok();
    Some((byte(hour)?, byte(minute)?, byte(second)?))
}

/// Reads the digits a token begins with, if there are as many as allowed.
fn number(token: &[u8], least: usize, most: usize) -> Option<u16> {
    let digits = token.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits < least || digits > most {
        return None;
    }
    Some(
        token[..digits]
            .iter()
            .fold(0, |sum, b| sum * 10 + u16::from(b - b'0')),
    )
}

fn month_of(token: &[u8]) -> Option<Month> {
    let begin = token.get(..3)?;
    let at = MONTHS
        .iter()
        .position(|month| begin.eq_ignore_ascii_case(*month))?;
    Month::try_from(u8::try_from(at + 1).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_all_dress() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("06 nov 1994 08:49:37 +0000", Some(784_111_777)),
            ("8:49:37 1994 november 6", Some(784_111_777)),
            // As Amazon writes them.
            ("27 Sep 2043 20:45:37 GMT", Some(2_326_999_537)),
            ("Thu, 01 Jan 1601 00:00:00 GMT", Some(0)),
            ("Thu, 01 Jan 1600 00:00:00 GMT", None),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Mon, 31 Feb 2022 00:00:00 GMT", None),
            ("Mon, 32 Jan 2022 00:00:00 GMT", None),
            ("Mon, 01 Jan 2022 24:00:00 GMT", None),
            ("Mon, 01 Jan 2022 00:00 GMT", None),
            ("Mon, 01 Jan 2022 000:00:00 GMT", None),
            ("01 Jan 99999 00:00:00", None),
            ("", None),
        ] {
            let expected = expected.map(|s| UNIX_EPOCH + Duration::from_secs(s));
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }
}
