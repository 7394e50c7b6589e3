//! Slows guesses of passwords and codes, in a bounded memory.
//!
//! A guess at a password is counted three times: for the network that it comes from, for the account as this network
//! tries it, and for the account as everybody does. The third has far more room than the second, so that nobody keeps
//! somebody else out by guessing wrong on purpose, and it does not count where the person came in before.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use consign_core::time::Timestamp;
use tokio::sync::Semaphore;

/// Each hash takes 19 MiB; two at once keep a flood of sign-ins from eating the memory.
const HASHES_AT_ONCE: usize = 2;
/// Of one person, or by one network at one account.
static ONE: Limit = Limit { free: 5, decay: DELAY_MAX };
/// From one network at whatever accounts: an office behind one address mistypes, too.
static NETWORK: Limit = Limit { free: 20, decay: Duration::from_secs(60) };
/// At one account from everywhere: twenty networks that guess as fast as they may do not come to it.
static ACCOUNT: Limit = Limit { free: 100, decay: Duration::from_secs(45) };
const DELAY_MAX: Duration = Duration::from_secs(15 * 60);
/// A place from which somebody came in is remembered so long.
const KNOWN: Duration = Duration::from_secs(30 * 86_400);
/// About 1 MiB. Who comes when it is full shares what is left with others.
const BRAKED_MAX: usize = 10_000;
const SHARED: u8 = u8::MAX;
/// Looking through all of it is done so often at most.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

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
    swept: Option<Timestamp>,
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
    /// The right password came from here.
    known: bool,
}

impl Tries {
    fn decay(&mut self, now: Timestamp) {
        let over = now.since(self.decayed_at).as_secs() / self.limit.decay.as_secs();
        let over = u32::try_from(over).unwrap_or(u32::MAX);
        self.decayed_at =
            if over < self.count { self.decayed_at.plus(self.limit.decay.saturating_mul(over)) } else { now };
        self.count = self.count.saturating_sub(over);
    }

    fn counts(&mut self, now: Timestamp) -> bool {
        self.decay(now);
        self.count > 0 || (self.known && now.since(self.last) < KNOWN)
    }
}

impl Table {
    /// The entry of a name; a shared one once the table is full.
    fn entry(&mut self, key: Key, limit: &'static Limit, now: Timestamp) -> &mut Tries {
        let own_max = BRAKED_MAX - usize::from(SHARED) - 1;
        let due = self.swept.is_none_or(|swept| now.since(swept) >= SWEEP_EVERY);
        if self.tries.len() >= own_max && due {
            self.tries.retain(|_, tries| tries.counts(now));
            self.swept = Some(now);
        }
        let full = self.tries.len() >= own_max && !self.tries.contains_key(&key);
        let key = if full { shared(key) } else { key };
        let new = Tries { limit, count: 0, last: now, decayed_at: now, known: false };
        let tries = self.tries.entry(key).or_insert(new);
        tries.decay(now);
        tries
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

    fn find(&mut self, key: Key) -> Option<&mut Tries> {
        let key = if self.tries.contains_key(&key) { key } else { shared(key) };
        self.tries.get_mut(&key)
    }

    fn take_back(&mut self, key: Key) {
        if let Some(tries) = self.find(key) {
            tries.count = tries.count.saturating_sub(1);
        }
    }
}

/// Whose guess at a password it is.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    network: Key,
    account: Key,
    both: Key,
}

impl Guess {
    /// At the account with this address, from there.
    pub(super) fn of(email: &str, from: Option<IpAddr>) -> Self {
        let (account, network) = (email.trim().to_lowercase(), network(from));
        Self {
            network: key(&["network", &network]),
            account: key(&["account", &account]),
            both: key(&["network and account", &network, &account]),
        }
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
        self.lock().try_once(guess.network, &NETWORK, now)
    }

    /// Whether the account has to wait, for this network or for all.
    pub(super) fn try_account(&self, guess: &Guess, now: Timestamp) -> Option<Duration> {
        let mut table = self.lock();
        if let Some(wait) = table.try_once(guess.both, &ONE, now) {
            return Some(wait);
        }
        if table.find(guess.both).is_some_and(|tries| tries.known) {
            return None;
        }
        let wait = table.try_once(guess.account, &ACCOUNT, now)?;
        // Not looked at, so not counted.
        table.take_back(guess.both);
        Some(wait)
    }

    /// The guess was right.
    pub(super) fn guessed(&self, guess: &Guess) {
        let mut table = self.lock();
        table.take_back(guess.network);
        table.take_back(guess.account);
        if let Some(tries) = table.tries.get_mut(&guess.both) {
            (tries.count, tries.known) = (0, true);
        }
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

/// One of 256 entries for those who find the table full.
fn shared(key: Key) -> Key {
    let mut shared = Key::default();
    shared[0] = key[0];
    shared
}

/// What one customer of a network has at least: an IPv4 address, 64 bits of an IPv6 address.
pub(super) fn network(from: Option<IpAddr>) -> String {
    match from.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let net = u128::from(address) & (u128::MAX << 64);
            format!("{}/64", Ipv6Addr::from(net))
        }
        Some(IpAddr::V4(address)) => address.to_string(),
        None => String::new(),
    }
}

fn delay(tries: u32, free: u32) -> Option<Duration> {
    let over = tries.checked_sub(free)?;
    Some(Duration::from_secs(30).saturating_mul(1 << over.min(6)).min(DELAY_MAX))
}

#[cfg(test)]
mod tests;
