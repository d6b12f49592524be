//! What became of the requests of the demo.

use std::collections::VecDeque;

use super::site::{API, SHOP};

pub(super) const SITES: [&str; 2] = [API, SHOP];

/// How many results are remembered one by one.
const KEPT: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Plain,
    Staysigned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Result {
    Ok,
    Refused,
    /// No answer.
    Failed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) ok: u32,
    pub(super) refused: u32,
    pub(super) failed: u32,
}

/// The counts of every client at every site.
#[derive(Debug, Default)]
pub(super) struct Tally([[Cell; 2]; 2]);

#[derive(Debug, Default)]
struct Cell {
    count: Count,
    last: VecDeque<Result>,
}

// === impl Tally ===

impl Tally {
    pub(super) fn add(&mut self, site: &str, client: Client, result: Result) {
        let cell = &mut self.0[index(site)][client as usize];
        match result {
            Result::Ok => cell.count.ok += 1,
            Result::Refused => cell.count.refused += 1,
            Result::Failed => cell.count.failed += 1,
        }
        if cell.last.len() == KEPT {
            cell.last.pop_front();
        }
        cell.last.push_back(result);
    }

    pub(super) fn count(&self, site: &str, client: Client) -> Count {
        self.0[index(site)][client as usize].count
    }

    /// Returns the last results, at most so many, in their order.
    pub(super) fn last(
        &self,
        site: &str,
        client: Client,
        most: usize,
    ) -> impl Iterator<Item = Result> {
        let last = &self.0[index(site)][client as usize].last;
        last.iter().skip(last.len().saturating_sub(most)).copied()
    }

    /// Returns what a client came to at both sites: requests, and those without success.
    pub(super) fn total(&self, client: Client) -> (u32, u32) {
        let counts = SITES.map(|site| self.count(site, client));
        let bad: u32 = counts
            .iter()
            .map(|count| count.refused + count.failed)
            .sum();
        let ok: u32 = counts.iter().map(|count| count.ok).sum();
        (ok + bad, bad)
    }
}

fn index(site: &str) -> usize {
    usize::from(site == SITES[1])
}

// === impl Client ===

impl Client {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "the script alone",
            Self::Staysigned => "through staysigned",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_site_and_client() {
        let mut tally = Tally::default();
        for n in 0..70 {
            let result = if n < 60 { Result::Ok } else { Result::Refused };
            tally.add(API, Client::Plain, result);
        }
        tally.add(SHOP, Client::Plain, Result::Failed);
        assert_eq!(tally.total(Client::Plain), (71, 11));
        assert_eq!(tally.total(Client::Staysigned), (0, 0));
        let last: Vec<_> = tally.last(API, Client::Plain, 11).collect();
        assert_eq!((last[0], last[10]), (Result::Ok, Result::Refused));
        assert_eq!(tally.last(API, Client::Plain, 100).count(), KEPT);
    }
}
