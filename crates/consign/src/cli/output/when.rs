//! Times as people say them: `2m ago`, `in 3d`.

use std::time::Duration;

use consign_core::time::Timestamp;

/// A time relative to another.
pub(crate) fn relative(time: Timestamp, now: Timestamp) -> String {
    if time > now { format!("in {}", span(time.since(now))) } else { ago(now.since(time)) }
}

fn ago(span_length: Duration) -> String {
    if span_length < Duration::from_secs(5) {
        "just now".to_owned()
    } else {
        format!("{} ago", span(span_length))
    }
}

fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{}m", seconds / 60),
        3_600..=86_399 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}
