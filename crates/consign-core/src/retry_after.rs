//! Waits that tools ask for: `Retry-After` (RFC 9110 section 10.2.3) and the dialects of rate limits around
//! it.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;

use crate::time::Timestamp;

/// No wait is longer, whatever is asked.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Resets below this are seconds from now, as nobody means a day in 1973.
const DELTA_MAX: f64 = 1e8;
/// Resets below this are seconds since 1970, others milliseconds.
const UNIX_SECONDS_MAX: f64 = 1e11;
const TOO_MANY_REQUESTS: u16 = 429;

/// How long the tool asks us to wait: the longest value that can be read and lies ahead, at most 24 hours.
/// Resets of rate limits count only when nothing remains or the status is 429. `None` leaves it to the
/// schedule.
pub fn asked_wait(headers: &HeaderMap, status: u16, now: Timestamp) -> Option<Duration> {
    let throttled = status == TOO_MANY_REQUESTS;
    let mut waits: Vec<Duration> =
        texts(headers, "retry-after").filter_map(|text| seconds(text).or_else(|| until(text, now))).collect();
    for prefix in ["ratelimit", "x-ratelimit", "x-rate-limit"] {
        let spent = texts(headers, &format!("{prefix}-remaining")).any(|text| number(text) == Some(0.0));
        if throttled || spent {
            let resets = texts(headers, &format!("{prefix}-reset")).filter_map(|text| reset(text, now));
            waits.extend(resets);
        }
    }
    waits.extend(texts(headers, "ratelimit").flat_map(|text| limits(text, throttled)));
    let longest = waits.into_iter().filter(|wait| !wait.is_zero()).max()?;
    Some(longest.min(WAIT_MAX))
}

fn texts<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let values: Vec<_> = headers.get_all(name).iter().collect();
    values.into_iter().filter_map(|value| value.to_str().ok()).map(str::trim)
}

/// A plain, finite number that is not negative.
fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.parse().ok().filter(|number: &f64| number.is_finite()) } else { None }
}

/// Seconds from now.
fn seconds(text: &str) -> Option<Duration> {
    number(text).map(|count| Duration::try_from_secs_f64(count).unwrap_or(WAIT_MAX))
}

/// An HTTP date or an ISO 8601 time; nothing when it is past.
fn until(text: &str, now: Timestamp) -> Option<Duration> {
    let time = Timestamp::parse_rfc3339(text).or_else(|| http_date(text))?;
    Some(time.since(now))
}

fn http_date(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
}

/// Seconds from now, seconds or milliseconds since 1970, or a date.
fn reset(text: &str, now: Timestamp) -> Option<Duration> {
    let Some(count) = number(text) else { return until(text, now) };
    if count < DELTA_MAX {
        return seconds(text);
    }
    let millis = if count < UNIX_SECONDS_MAX { count * 1_000.0 } else { count };
    Some(Timestamp::from_millis(millis as i64).since(now))
}

/// The field `RateLimit` of the IETF drafts, old `limit=10, remaining=0, reset=5` and new
/// `"default";r=0;t=5`.
fn limits(text: &str, throttled: bool) -> Vec<Duration> {
    let value = |part: &str, names: [&str; 2]| {
        let mut pairs = part.split([';', ',']).filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| names.contains(&name.trim())).and_then(|(_, value)| number(value.trim()))
    };
    let old = text.contains("reset=");
    let policies: Vec<&str> = if old { vec![text] } else { text.split(',').collect() };
    let spent = policies.into_iter().filter(|part| throttled || value(part, ["r", "remaining"]) == Some(0.0));
    spent
        .filter_map(|part| value(part, ["t", "reset"]))
        .map(|count| Duration::try_from_secs_f64(count).unwrap_or(WAIT_MAX))
        .collect()
}

#[cfg(test)]
mod tests;
