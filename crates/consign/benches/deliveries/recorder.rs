//! What the receiving tool counts: every event once, with the right authorization, and how late.

use serde::{Deserialize, Serialize};

use crate::figures::percentile;

/// Bytes of padding in every event.
pub(crate) const PADDING_BYTES: usize = 256;

/// The data of an event, as it is sent and must arrive.
#[derive(Deserialize)]
struct Marked<'a> {
    bench_id: u64,
    /// When it was due, in nanoseconds of the system's clock.
    bench_ts: u64,
    pad: &'a str,
}

/// The data of an event.
pub(crate) fn event_data(id: u64, due_ns: u64) -> String {
    format!(r#"{{"bench_id":{id},"bench_ts":{due_ns},"pad":"{:x<PADDING_BYTES$}"}}"#, "")
}

/// Counts what arrives of a range of events.
#[derive(Default)]
pub(crate) struct Recorder {
    first_id: u64,
    seen: Vec<bool>,
    count: Count,
    latencies_us: Vec<u32>,
}

/// What arrived so far.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Count {
    /// Different events that came with the right authorization.
    pub(crate) delivered: u64,
    /// Requests that should not have come, or not like this.
    pub(crate) wrong: u64,
    /// What was wrong with the first of them.
    pub(crate) fault: Option<String>,
    /// When the first and the latest came.
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
}

/// From the moment an event was due to its arrival, in milliseconds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Lateness {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Recorder {
    /// Starts over, for so many events from this one on.
    pub(crate) fn expect(&mut self, first_id: u64, count: usize) {
        *self = Self {
            first_id,
            seen: vec![false; count],
            latencies_us: Vec::with_capacity(count),
            ..Self::default()
        };
    }

    /// Judges one request.
    pub(crate) fn note(&mut self, authorized: bool, body: &[u8], now_ns: u64) {
        match self.judge(authorized, body) {
            Ok(due_ns) => {
                self.count.delivered += 1;
                self.count.last_ns = now_ns;
                if self.count.first_ns == 0 {
                    self.count.first_ns = now_ns;
                }
                let late_us = now_ns.saturating_sub(due_ns) / 1_000;
                self.latencies_us.push(u32::try_from(late_us).unwrap_or(u32::MAX));
            }
            Err(fault) => {
                self.count.wrong += 1;
                self.count.fault.get_or_insert(fault);
            }
        }
    }

    fn judge(&mut self, authorized: bool, body: &[u8]) -> Result<u64, String> {
        if !authorized {
            return Err("a request without the right Authorization".to_owned());
        }
        let event: Marked<'_> = serde_json::from_slice(body).map_err(|error| format!("a body: {error}"))?;
        if event.pad.len() != PADDING_BYTES {
            return Err(format!("event {} was cut", event.bench_id));
        }
        let place = event.bench_id.checked_sub(self.first_id).and_then(|place| usize::try_from(place).ok());
        let seen = place.and_then(|place| self.seen.get_mut(place));
        match seen {
            Some(seen) if !*seen => *seen = true,
            Some(_) => return Err(format!("event {} came twice", event.bench_id)),
            None => return Err(format!("event {} is of another round", event.bench_id)),
        }
        Ok(event.bench_ts)
    }

    pub(crate) fn count(&self) -> &Count {
        &self.count
    }

    pub(crate) fn lateness(&self) -> Lateness {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        Lateness { p50_ms: percentile(&sorted, 0.5) / 1e3, p99_ms: percentile(&sorted, 0.99) / 1e3 }
    }
}
