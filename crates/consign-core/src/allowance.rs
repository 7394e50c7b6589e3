//! How many requests a caller may make: so many a second, and a short burst.

use std::time::Duration;

use crate::time::Timestamp;

/// A caller that was quiet may make the requests of so many seconds at once.
pub const BURST_SECONDS: u32 = 2;

/// What a caller has left.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    left: f64,
    at: Timestamp,
}

impl Allowance {
    /// That of a caller who was quiet.
    pub fn full(per_second: u32, now: Timestamp) -> Self {
        Self { left: burst(per_second), at: now }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// The wait for the next one; nothing is taken.
    pub fn take(&mut self, per_second: u32, now: Timestamp) -> Result<(), Duration> {
        let rate = f64::from(per_second.max(1));
        // A clock that went back gives nothing and takes nothing.
        let gained = now.since(self.at).as_secs_f64() * rate;
        self.left = (self.left + gained).min(burst(per_second));
        self.at = now;
        if self.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.left) / rate));
        }
        self.left -= 1.0;
        Ok(())
    }

    /// Whether forgetting it changes nothing.
    pub fn is_full(&self, per_second: u32, now: Timestamp) -> bool {
        self.left + now.since(self.at).as_secs_f64() * f64::from(per_second) >= burst(per_second)
    }
}

fn burst(per_second: u32) -> f64 {
    f64::from(per_second.max(1)) * f64::from(BURST_SECONDS)
}

#[cfg(test)]
mod tests;
