//! Slows guesses of passwords and codes, in a bounded memory.
//!
//! A guess at a password or a code is counted for the network that it comes from, for the account as this network tries
//! it, and for the account as everybody does. The third has more room than the second, so that nobody keeps somebody
//! else out by guessing wrong on purpose. Where a person came in before, only the second counts: neither guesses of others
//! nor a full memory keep them out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use consign_core::id::UserId;
use consign_core::time::Timestamp;
use tokio::sync::Semaphore;

/// Each hash takes 19 MiB; two at once keep a flood of sign-ins from eating the memory.
const HASHES_AT_ONCE: usize = 2;
/// Of one person, or by one network at one account.
static ONE: Limit = Limit { free: 5, decay: DELAY_MAX };
/// From one network at whatever accounts: an office behind one address mistypes, too.
static NETWORK: Limit = Limit { free: 20, decay: Duration::from_secs(60) };
/// From 48 bits of IPv6, which one customer can have whole, and many can share.
static SITE: Limit = Limit { free: 100, decay: Duration::from_secs(12) };
/// At the password of one account from everywhere: twenty networks that guess as fast as they may do not come to it.
static ACCOUNT: Limit = Limit { free: 100, decay: Duration::from_secs(45) };
/// At the codes of one account from everywhere: three of a million fit at a time, so that a hundred a day seldom do.
static CODES: Limit = Limit { free: 20, decay: DELAY_MAX };
const DELAY_MAX: Duration = Duration::from_secs(15 * 60);
/// A place from which somebody came in is remembered so long.
const KNOWN: Duration = Duration::from_secs(30 * 86_400);
/// So many places; with [`BRAKED_MAX`] about 2 MiB.
const KNOWN_MAX: usize = 10_000;
/// Of whom tries are counted.
const BRAKED_MAX: usize = 10_000;

/// Slows guesses, per person, network and account, in memory.
pub struct SignInBrake {
    table: Mutex<Table>,
    pub(super) hashes: Semaphore,
}

impl Default for SignInBrake {
    fn default() -> Self {
        Self { table: Mutex::default(), hashes: Semaphore::new(HASHES_AT_ONCE) }
    }
}

/// Of a name that somebody may choose at will: one length, whatever it is.
type Key = [u8; 32];

#[derive(Default)]
struct Table {
    tries: HashMap<Key, Tries>,
    /// Where somebody came in, by [`Guess::both`], and when they last did.
    known: HashMap<Key, Timestamp>,
}

/// How many tries are without a delay, from which on the delay doubles; and after which time one of them is forgotten.
struct Limit {
    free: u32,
    decay: Duration,
}

struct Tries {
    limit: &'static Limit,
    count: u32,
    last: Timestamp,
    decayed_at: Timestamp,
}

impl Tries {
    fn decay(&mut self, now: Timestamp) {
        let over = now.since(self.decayed_at).as_secs() / self.limit.decay.as_secs();
        let over = u32::try_from(over).unwrap_or(u32::MAX);
        self.decayed_at =
            if over < self.count { self.decayed_at.plus(self.limit.decay.saturating_mul(over)) } else { now };
        self.count = self.count.saturating_sub(over);
    }
}

impl Table {
    /// The entry of a name. Where there is no room, it takes the place of the one with the fewest tries, and goes on from
    /// its count (Metwally, Agrawal, El Abbadi, "Space-Saving", 2005): nobody is let off by being pushed out, and whoever
    /// is new waits only once everybody in the table has tried as often.
    fn entry(&mut self, key: Key, limit: &'static Limit, now: Timestamp) -> &mut Tries {
        let full = self.tries.len() >= BRAKED_MAX && !self.tries.contains_key(&key);
        let pushed_out = if full { self.push_out(now) } else { None };
        let (count, last) = pushed_out.map_or((0, now), |tries| (tries.count, tries.last));
        let tries = self.tries.entry(key).or_insert(Tries { limit, count, last, decayed_at: now });
        tries.decay(now);
        tries
    }

    /// A look at all of them is some microseconds, and there is one only where somebody new finds the table full.
    fn push_out(&mut self, now: Timestamp) -> Option<Tries> {
        self.tries.values_mut().for_each(|tries| tries.decay(now));
        let fewest = least(&self.tries, |tries| (tries.count, tries.last))?;
        self.tries.remove(&fewest)
    }

    /// Counts a try, or says how long to wait before the next one.
    fn try_once(&mut self, key: Key, limit: &'static Limit, now: Timestamp) -> Option<Duration> {
        let tries = self.entry(key, limit, now);
        let until = tries.last.plus(delay(tries.count, limit.free).unwrap_or_default());
        if until > now {
            return Some(until.since(now));
        }
        tries.count += 1;
        tries.last = now;
        None
    }

    /// Counts a try for each; for none of them where one has to wait: it is not looked at.
    fn try_all(&mut self, limits: &[(Key, &'static Limit)], now: Timestamp) -> Option<Duration> {
        for (n, (key, limit)) in limits.iter().enumerate() {
            if let Some(wait) = self.try_once(*key, limit, now) {
                limits[..n].iter().for_each(|(key, _)| self.take_back(*key));
                return Some(wait);
            }
        }
        None
    }

    fn take_back(&mut self, key: Key) {
        if let Some(tries) = self.tries.get_mut(&key) {
            tries.count = tries.count.saturating_sub(1);
        }
    }

    fn knows(&self, place: &Key, now: Timestamp) -> bool {
        self.known.get(place).is_some_and(|last| now.since(*last) < KNOWN)
    }

    fn remember(&mut self, place: Key, now: Timestamp) {
        if self.known.len() >= KNOWN_MAX && !self.known.contains_key(&place) {
            let oldest = least(&self.known, |last| *last);
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        self.known.insert(place, now);
    }
}

fn least<V, O: Ord>(map: &HashMap<Key, V>, by: impl Fn(&V) -> O) -> Option<Key> {
    map.iter().min_by_key(|(_, value)| by(value)).map(|(key, _)| *key)
}

/// Whose guess at a password or a code it is.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    site: Option<Key>,
    network: Key,
    account: Key,
    both: Key,
    of_code: bool,
}

impl Guess {
    /// At the password of the account with this address, from there.
    pub(super) fn of(email: &str, from: Option<IpAddr>) -> Self {
        Self::at(&email.trim().to_lowercase(), from, false)
    }

    /// At the code of a person, from there.
    pub(super) fn of_code(id: UserId, from: Option<IpAddr>) -> Self {
        Self::at(&format!("code {id}"), from, true)
    }

    fn at(account: &str, from: Option<IpAddr>, of_code: bool) -> Self {
        let network = network(from);
        Self {
            site: site(from).map(|site| key(&["site", &site])),
            network: key(&["network", &network]),
            account: key(&["account", account]),
            both: key(&["network and account", &network, account]),
            of_code,
        }
    }

    /// The wide one first: of a site that has to wait no network is kept.
    fn networks(&self) -> Vec<(Key, &'static Limit)> {
        self.site.map(|site| (site, &SITE)).into_iter().chain([(self.network, &NETWORK)]).collect()
    }

    fn accounts(&self) -> [(Key, &'static Limit); 2] {
        [(self.both, &ONE), (self.account, if self.of_code { &CODES } else { &ACCOUNT })]
    }
}

impl SignInBrake {
    /// Counts a try, which [`SignInBrake::passed`] takes back; or says how long to wait before the next one.
    pub(super) fn try_once(&self, who: &str, now: Timestamp) -> Option<Duration> {
        self.lock().try_once(key(&["one", who]), &ONE, now)
    }

    /// Forgets the tries of somebody who showed who they are.
    pub(super) fn passed(&self, who: &str) {
        self.lock().tries.remove(&key(&["one", who]));
    }

    /// Takes one try back and no more: a network is not forgiven for one good sign-in.
    pub(super) fn take_back(&self, who: &str) {
        self.lock().take_back(key(&["one", who]));
    }

    /// The first thing that is asked about a guess, before anything of it is kept: whether its network has to wait.
    pub(super) fn try_network(&self, guess: &Guess, now: Timestamp) -> Option<Duration> {
        let mut table = self.lock();
        if table.knows(&guess.both, now) { None } else { table.try_all(&guess.networks(), now) }
    }

    /// Whether the account has to wait, for this network or for all.
    pub(super) fn try_account(&self, guess: &Guess, now: Timestamp) -> Option<Duration> {
        let mut table = self.lock();
        let [own, wide] = guess.accounts();
        if table.knows(&guess.both, now) {
            table.try_all(&[own], now)
        } else {
            table.try_all(&[own, wide], now)
        }
    }

    /// The guess was right. What was counted for it is taken back once: where the person was known, nothing but their own
    /// tries was.
    pub(super) fn guessed(&self, guess: &Guess, now: Timestamp) {
        let mut table = self.lock();
        if !table.knows(&guess.both, now) {
            let [_, wide] = guess.accounts();
            guess.networks().into_iter().chain([wide]).for_each(|(key, _)| table.take_back(key));
        }
        table.tries.remove(&guess.both);
        table.remember(guess.both, now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(parts: &[&str]) -> Key {
    let hashed = digest(&SHA256, parts.join("\n").as_bytes());
    let mut key = Key::default();
    key.copy_from_slice(hashed.as_ref());
    key
}

/// What one customer of a network has at least: an IPv4 address, 64 bits of an IPv6 address.
pub(super) fn network(from: Option<IpAddr>) -> String {
    match from.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => first_bits(address, 64),
        Some(IpAddr::V4(address)) => address.to_string(),
        None => String::new(),
    }
}

/// What one customer of IPv6 has at most.
fn site(from: Option<IpAddr>) -> Option<String> {
    match from?.to_canonical() {
        IpAddr::V6(address) => Some(first_bits(address, 48)),
        IpAddr::V4(_) => None,
    }
}

fn first_bits(address: Ipv6Addr, bits: u32) -> String {
    let net = u128::from(address) & (u128::MAX << (128 - bits));
    format!("{}/{bits}", Ipv6Addr::from(net))
}

fn delay(tries: u32, free: u32) -> Option<Duration> {
    let over = tries.checked_sub(free)?;
    Some(Duration::from_secs(30).saturating_mul(1 << over.min(6)).min(DELAY_MAX))
}

#[cfg(test)]
mod tests;
