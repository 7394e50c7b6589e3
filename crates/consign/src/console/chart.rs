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

/// What there was in each hour, and how high its bars are: the largest as high as the drawing.
struct Hours {
    first: i64,
    delivered: Vec<u64>,
    failed: Vec<u64>,
}

impl Hours {
    fn read(by_hour: &Value) -> Self {
        let numbers = |key: &str| -> Vec<u64> {
            by_hour[key].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
        };
        let from = by_hour["from"].as_str().and_then(Timestamp::parse_rfc3339);
        Self {
            first: from.map_or(0, Timestamp::millis),
            delivered: numbers("delivered"),
            failed: numbers("failed"),
        }
    }

    /// Place, height above the line and height below it, of each hour.
    fn bars(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let most = |numbers: &[u64]| numbers.iter().copied().max().unwrap_or(0);
        let (most_delivered, most_failed) = (most(&self.delivered), most(&self.failed));
        let numbers = self.delivered.iter().zip(&self.failed);
        (0..).zip(numbers).map(move |(place, (delivered, failed))| {
            (
                place * STEP + MARGIN,
                height(*delivered, most_delivered, UP),
                height(*failed, most_failed, DOWN),
            )
        })
    }

    /// What is drawn of it all.
    fn drawing(&self) -> Value {
        json!({
            "width": u64::try_from(self.delivered.len()).unwrap_or(0) * STEP,
            "height": UP + DOWN + 2,
            "line": UP,
            "below": UP + 2,
            "bar": BAR,
            "delivered": self.delivered.iter().sum::<u64>(),
            "failed": self.failed.iter().sum::<u64>(),
        })
    }
}

/// The strip of `by_hour`, with the numbers of each hour.
pub(super) fn strip(by_hour: &Value) -> Value {
    let hours = Hours::read(by_hour);
    let at = |hour: i64| Timestamp::from_millis(hours.first + hour * HOUR_MS).to_string();
    let numbers = hours.delivered.iter().zip(&hours.failed);
    let bars = (0..).zip(numbers).zip(hours.bars()).map(|((hour, (delivered, failed)), (x, up, down))| {
        json!({
            "at": at(hour), "delivered": delivered, "failed": failed, "x": x, "up": up, "y": UP - up, "down": down,
        })
    });
    let bars: Vec<Value> = bars.collect();
    let mut drawing = hours.drawing();
    drawing["bars"] = json!(bars);
    drawing
}

/// The strip for a row of a list: two shapes and the sums, which cost a page of many rows little.
pub(super) fn small_strip(by_hour: &Value) -> Value {
    let hours = Hours::read(by_hour);
    let (mut above, mut below) = (String::new(), String::new());
    for (x, up, down) in hours.bars() {
        if up > 0 {
            above += &format!("M{x} {UP}v-{up}h{BAR}v{up}z");
        }
        if down > 0 {
            below += &format!("M{x} {}v{down}h{BAR}v-{down}z", UP + 2);
        }
    }
    let mut drawing = hours.drawing();
    drawing["above"] = json!(above);
    drawing["under"] = json!(below);
    drawing
}

/// What is there at all can be seen.
fn height(count: u64, most: u64, whole: u64) -> u64 {
    if count == 0 { 0 } else { (count.saturating_mul(whole) / most.max(1)).clamp(2, whole) }
}

#[cfg(test)]
mod tests;
