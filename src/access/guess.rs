//! Against guessing: wrong tokens make the next wait, by where they come from and by which token they are tried at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::Timestamp;

/// So many wrong tokens are nobody's fault.
const FREE: u32 = 5;

/// The longest wait.
const LONGEST: Duration = Duration::from_mins(5);

/// After so long a quiet, everything is forgotten.
const FORGOTTEN: Duration = Duration::from_mins(15);

/// Whoever has many addresses does not fill the memory with them.
const MOST: usize = 10_000;

/// Where wrong tokens come from, or what they are tried at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Address(IpAddr),
    Token(String),
}

#[derive(Clone, Copy, Debug)]
struct Wrongs {
    count: u32,
    last: Timestamp,
}

impl Wrongs {
    /// How long after the last the next is looked at.
    fn delay(self) -> Duration {
        match self.count.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(beyond) => Duration::from_secs(1_u64 << beyond.min(9)).min(LONGEST),
        }
    }

    fn wait(self, now: Timestamp) -> Duration {
        // A clock that was put back makes nobody wait longer.
        let since = Duration::try_from(now.duration_since(self.last)).unwrap_or(Duration::ZERO);
        self.delay().saturating_sub(since)
    }
}

/// Counts wrong tokens, in memory: a server that starts anew has forgotten them.
#[derive(Default)]
pub struct Guard {
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    wrongs: BTreeMap<Mark, Wrongs>,
    /// Which addresses a token was used from as it should: they do not wait because of what others try at it.
    known: BTreeSet<(String, IpAddr)>,
}

impl Guard {
    /// Whether a token from there is looked at now.
    ///
    /// # Errors
    /// How long it is not.
    pub fn check(&self, from: IpAddr, token: Option<&str>, now: Timestamp) -> Result<(), Duration> {
        let from = network(from);
        let content = self.content.lock();
        let wait = |mark: Mark| content.wrongs.get(&mark).map_or(Duration::ZERO, |wrongs| wrongs.wait(now));
        // Behind a proxy all come from one address: whoever has shown their token from there before does not wait for others.
        if token.is_some_and(|id| content.known.contains(&(id.to_owned(), from))) {
            return Ok(());
        }
        let by_token = token.map_or(Duration::ZERO, |id| wait(Mark::Token(id.to_owned())));
        let longest = wait(Mark::Address(from)).max(by_token);
        if longest.is_zero() { Ok(()) } else { Err(longest) }
    }

    /// A token was wrong. Whether its address is slowed down from now on, and was not before: worth telling.
    pub fn failed(&self, from: IpAddr, token: Option<&str>, now: Timestamp) -> bool {
        let from = network(from);
        let mut content = self.content.lock();
        if content.wrongs.len() >= MOST {
            content.wrongs.retain(|_, wrongs| is_fresh(wrongs, now));
            // Those that are waited for longest stay.
            while content.wrongs.len() >= MOST {
                let Some(mark) = content
                    .wrongs
                    .iter()
                    .min_by_key(|(_, wrongs)| (wrongs.count, wrongs.last))
                    .map(|(mark, _)| mark.clone())
                else {
                    break;
                };
                content.wrongs.remove(&mark);
            }
        }
        let marks = [Some(Mark::Address(from)), token.map(|id| Mark::Token(id.to_owned()))];
        for mark in marks.into_iter().flatten() {
            let wrongs = content.wrongs.entry(mark).or_insert(Wrongs { count: 0, last: now });
            if !is_fresh(wrongs, now) {
                wrongs.count = 0;
            }
            *wrongs = Wrongs { count: wrongs.count.saturating_add(1), last: now };
        }
        content.wrongs.get(&Mark::Address(from)).is_some_and(|wrongs| wrongs.count == FREE)
    }

    /// A token was right. What was wrong before stays counted: nobody buys tries with a token of their own.
    pub fn succeeded(&self, from: IpAddr, token: &str) {
        let mut content = self.content.lock();
        if content.known.len() >= MOST {
            content.known.clear();
        }
        content.known.insert((token.to_owned(), network(from)));
    }
}

fn is_fresh(wrongs: &Wrongs, now: Timestamp) -> bool {
    now < wrongs.last.saturating_add(FORGOTTEN).unwrap_or(Timestamp::MAX)
}

/// One address of IPv4; of IPv6 the network, of which everybody has more addresses than could be counted.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn wrong_tokens_make_the_next_wait_longer_and_longer() {
        let (guard, from) = (Guard::default(), address("10.0.0.1"));
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..14 {
            let wait = guard.check(from, None, at(now)).err().unwrap_or_default().as_secs();
            waits.push(wait);
            now += wait;
            assert!(guard.check(from, None, at(now)).is_ok());
            guard.failed(from, None, at(now));
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256]);
        assert!(guard.check(address("10.0.0.2"), None, at(now)).is_ok(), "somebody else waits too");
        assert!(guard.check(from, None, at(now + 3600)).is_ok());
    }

    #[test]
    fn a_token_tried_at_from_everywhere_makes_strangers_wait_but_not_its_bearer() {
        let guard = Guard::default();
        let home = address("10.0.0.1");
        guard.succeeded(home, "abc");
        for from in 2..20 {
            guard.failed(address(&format!("10.0.0.{from}")), Some("abc"), at(0));
        }
        assert!(guard.check(address("10.0.9.9"), Some("abc"), at(0)).is_err());
        assert!(guard.check(address("10.0.9.9"), Some("xyz"), at(0)).is_ok());
        assert!(guard.check(home, Some("abc"), at(0)).is_ok());
    }

    #[test]
    fn many_addresses_of_one_network_are_one() {
        let guard = Guard::default();
        for from in 0..FREE {
            let told = guard.failed(address(&format!("2001:db8::{from:x}")), None, at(0));
            assert_eq!(told, from == FREE - 1);
        }
        assert!(guard.check(address("2001:db8::ffff"), None, at(0)).is_err());
        assert!(guard.check(address("2001:db8:0:1::1"), None, at(0)).is_ok());
    }

    #[test]
    fn whoever_has_many_addresses_does_not_fill_the_memory() {
        let guard = Guard::default();
        for from in 0..MOST + 50 {
            guard.failed(IpAddr::V4(std::net::Ipv4Addr::from_bits(u32::try_from(from).expect("small"))), None, at(0));
        }
        assert!(guard.content.lock().wrongs.len() <= MOST);
    }
}
