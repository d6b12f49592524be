//! `pace`: how many requests of a session may begin within a time.

use std::{fmt, str::FromStr, time::Duration};

/// More than this is no pace that anybody would keep: the times of so many requests are remembered.
const MOST: u32 = 10_000;

const DAY: u64 = 24 * 60 * 60;

/// At most so many requests within any span of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub requests: u32,
    pub within: Duration,
}

/// Why a text is no pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    #[error("it is a number of requests, a slash and a time")]
    Form,
    #[error("from 1 to {MOST} requests")]
    Requests,
    #[error("the time is from a second to a day")]
    Within,
}

// === impl Pace ===

impl FromStr for Pace {
    type Err = Bad;

    /// Parses `2/s`, `100/h`, `1/10s`.
    fn from_str(text: &str) -> Result<Self, Bad> {
        let (requests, within) = text.split_once('/').ok_or(Bad::Form)?;
        let requests: u32 = number(requests.trim())?;
        if !(1..=MOST).contains(&requests) {
            return Err(Bad::Requests);
        }
        let within = within.trim();
        let unit = within.trim_start_matches(|c: char| c.is_ascii_digit());
        let count = match &within[..within.len() - unit.len()] {
            "" => 1,
            digits => number(digits)?,
        };
        let seconds = match unit.trim_start() {
            "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" => 60 * 60,
            "d" => DAY,
            _ => return Err(Bad::Form),
        };
        let within = u64::from(count) * seconds;
        if !(1..=DAY).contains(&within) {
            return Err(Bad::Within);
        }
        Ok(Self {
            requests,
            within: Duration::from_secs(within),
        })
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}s", self.requests, self.within.as_secs())
    }
}

fn number(text: &str) -> Result<u32, Bad> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Bad::Form);
    }
    text.parse().map_err(|_| Bad::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paces_as_people_write_them() {
        for (text, expected) in [
            ("2/s", Ok((2, 1))),
            (" 30 / m ", Ok((30, 60))),
            ("30/min", Ok((30, 60))),
            ("1000/h", Ok((1000, 3600))),
            ("5/d", Ok((5, DAY))),
            ("1/10s", Ok((1, 10))),
            ("0/s", Err(Bad::Requests)),
            ("20000/s", Err(Bad::Requests)),
            ("2/0s", Err(Bad::Within)),
            ("2/2d", Err(Bad::Within)),
            ("2", Err(Bad::Form)),
            ("0.5/s", Err(Bad::Form)),
            ("-2/s", Err(Bad::Form)),
            ("2/ms", Err(Bad::Form)),
            ("/s", Err(Bad::Form)),
            ("2/", Err(Bad::Form)),
            ("2/99999999999s", Err(Bad::Form)),
        ] {
            let read = text.parse::<Pace>();
            let read = read.map(|pace| (pace.requests, pace.within.as_secs()));
            assert_eq!(read, expected, "{text}");
        }
    }
}
