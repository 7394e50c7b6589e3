//! Options about what is kept: how long, how much, what is logged, and copies of it.

use consign_core::schedule::{Schedule, TimeZone};

use super::{DAYS_MAX, EVENT_BYTES, EXPORT_BYTES, Entry, open, quoted};
use crate::config::LogFormat;

pub(super) fn keeping() -> Vec<Entry> {
    vec![
        open(
            "retention.payload_days",
            |config, given| {
                config.retention.payload_days = given.number(1, DAYS_MAX)?;
                Ok(())
            },
            |config| Some(config.retention.payload_days.to_string()),
        ),
        open(
            "retention.delivery_days",
            |config, given| {
                config.retention.delivery_days = given.number(1, DAYS_MAX)?;
                Ok(())
            },
            |config| Some(config.retention.delivery_days.to_string()),
        ),
        open(
            "retention.gateway_days",
            |config, given| {
                config.retention.gateway_days = given.number(1, DAYS_MAX)?;
                Ok(())
            },
            |config| Some(config.retention.gateway_days.to_string()),
        ),
        open(
            "limits.event_bytes",
            |config, given| {
                let bytes = given.number(EVENT_BYTES.0, EVENT_BYTES.1)?;
                config.limits.event_bytes = usize::try_from(bytes).unwrap_or(1 << 20);
                Ok(())
            },
            |config| Some(config.limits.event_bytes.to_string()),
        ),
        open(
            "limits.export_bytes",
            |config, given| {
                config.limits.export_bytes = given.number(EXPORT_BYTES.0, EXPORT_BYTES.1)?;
                Ok(())
            },
            |config| Some(config.limits.export_bytes.to_string()),
        ),
        open(
            "limits.disk_low_bytes",
            |config, given| {
                config.limits.disk_low_bytes = given.number(0, 1 << 50)?;
                Ok(())
            },
            |config| Some(config.limits.disk_low_bytes.to_string()),
        ),
        open(
            "limits.requests_per_second",
            |config, given| {
                config.limits.requests_per_second = u32::try_from(given.number(0, 1_000_000)?).unwrap_or(0);
                Ok(())
            },
            |config| Some(config.limits.requests_per_second.to_string()),
        ),
        open(
            "limits.event_requests_per_second",
            |config, given| {
                let requests = given.number(0, 1_000_000)?;
                config.limits.event_requests_per_second = u32::try_from(requests).unwrap_or(0);
                Ok(())
            },
            |config| Some(config.limits.event_requests_per_second.to_string()),
        ),
        open(
            "log.format",
            |config, given| {
                config.log.format = match given.word(&["auto", "text", "json"])? {
                    "text" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    _ => LogFormat::Auto,
                };
                Ok(())
            },
            |config| {
                Some(quoted(match config.log.format {
                    LogFormat::Auto => "auto",
                    LogFormat::Text => "text",
                    LogFormat::Json => "json",
                }))
            },
        ),
        open(
            "log.level",
            |config, given| {
                let level = given.text()?;
                let read = tracing_subscriber::EnvFilter::builder().parse(&level);
                read.map_err(
                    |_| "needs error, warn, info, debug or trace, or directives such as info,consign=debug",
                )?;
                config.log.level = level;
                Ok(())
            },
            |config| Some(quoted(&config.log.level)),
        ),
    ]
}

pub(super) fn copies() -> Vec<Entry> {
    vec![
        open(
            "backup.dir",
            |config, given| {
                config.backup.dir = given.path()?;
                Ok(())
            },
            |config| config.backup.dir.as_ref().map(|path| quoted(path.display())),
        ),
        open(
            "backup.schedule",
            |config, given| {
                let zone = TimeZone::parse("").map_err(|fault| fault.message)?;
                let read = Schedule::parse(&given.text()?, zone);
                config.backup.schedule = read.map_err(|_| {
                    "needs hourly, daily, weekly, by_hand, or five fields of cron such as 0 3 * * *"
                        .to_owned()
                })?;
                Ok(())
            },
            |config| Some(quoted(config.backup.schedule.as_str())),
        ),
        open(
            "backup.keep",
            |config, given| {
                config.backup.keep = usize::try_from(given.number(1, 1_000)?).unwrap_or(1);
                Ok(())
            },
            |config| Some(config.backup.keep.to_string()),
        ),
    ]
}
