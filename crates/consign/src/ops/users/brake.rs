//! Slows guesses of passwords and codes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use consign_core::time::Timestamp;
use tokio::sync::Semaphore;

/// Each hash takes 19 MiB; two at once keep a flood of sign-ins from eating the memory.
const HASHES_AT_ONCE: usize = 2;
/// Tries without a delay; from then on the delay doubles.
const FREE_TRIES: u32 = 5;
const DELAY_MAX: Duration = Duration::from_secs(15 * 60);
const BRAKED_MAX: usize = 10_000;

/// Slows guesses, per account and per address, in memory.
pub struct SignInBrake {
    tries: Mutex<HashMap<String, (u32, Timestamp)>>,
    pub(super) hashes: Semaphore,
}

impl Default for SignInBrake {
    fn default() -> Self {
        Self { tries: Mutex::default(), hashes: Semaphore::new(HASHES_AT_ONCE) }
    }
}

impl SignInBrake {
    /// Counts a try, which [`SignInBrake::passed`] takes back; or says how long to wait before the next one.
    pub(super) fn try_once(&self, who: &str, now: Timestamp) -> Option<Duration> {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.len() >= BRAKED_MAX {
            tries.retain(|_, (_, last)| now.since(*last) < DELAY_MAX);
        }
        let (count, last) = tries.entry(who.to_owned()).or_insert((0, now));
        let until = last.plus(delay(*count).unwrap_or_default());
        if until > now {
            return Some(until.since(now));
        }
        *count += 1;
        *last = now;
        None
    }

    pub(super) fn passed(&self, who: &str) {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).remove(who);
    }
}

fn delay(tries: u32) -> Option<Duration> {
    let over = tries.checked_sub(FREE_TRIES)?;
    Some(Duration::from_secs(30).saturating_mul(1 << over.min(6)).min(DELAY_MAX))
}

#[cfg(test)]
mod tests;
