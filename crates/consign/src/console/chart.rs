//! Bars for each of the last hours, drawn here so that a page needs no script for them: what was delivered stands above
//! the line, what failed hangs below it. The numbers are on the page as a table too.

use consign_core::time::Timestamp;
use consign_store::overview::HOUR_MS;
use serde_json::{Value, json};

/// In the units of the drawing.
const BAR: u64 = 10;
const STEP: u64 = 12;
const UP: u64 = 40;
const DOWN: u64 = 16;
const MARGIN: u64 = 1;

/// The strip of `by_hour`: a bar for each hour, the largest as high as the drawing.
pub(super) fn strip(by_hour: &Value) -> Value {
    let numbers = |key: &str| -> Vec<u64> {
        by_hour[key].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
    };
    let (delivered, failed) = (numbers("delivered"), numbers("failed"));
    let from = by_hour["from"].as_str().and_then(Timestamp::parse_rfc3339);
    let first = from.map_or(0, Timestamp::millis);
    let most = |numbers: &[u64]| numbers.iter().copied().max().unwrap_or(0);
    let (most_delivered, most_failed) = (most(&delivered), most(&failed));
    let bars = delivered.iter().zip(&failed).enumerate().map(|(place, (delivered, failed))| {
        let place_ms = i64::try_from(place).unwrap_or(0) * HOUR_MS;
        let at = Timestamp::from_millis(first + place_ms);
        let (up, down) = (height(*delivered, most_delivered, UP), height(*failed, most_failed, DOWN));
        json!({
            "at": at.to_string(),
            "delivered": delivered,
            "failed": failed,
            "x": u64::try_from(place).unwrap_or(0) * STEP + MARGIN,
            "up": up,
            "y": UP - up,
            "down": down,
        })
    });
    let bars: Vec<Value> = bars.collect();
    json!({
        "width": u64::try_from(bars.len()).unwrap_or(0) * STEP,
        "height": UP + DOWN + 2,
        "line": UP,
        "below": UP + 2,
        "bar": BAR,
        "delivered": delivered.iter().sum::<u64>(),
        "failed": failed.iter().sum::<u64>(),
        "bars": bars,
    })
}

/// What is there at all can be seen.
fn height(count: u64, most: u64, whole: u64) -> u64 {
    if count == 0 { 0 } else { (count.saturating_mul(whole) / most.max(1)).clamp(2, whole) }
}

#[cfg(test)]
mod tests;
