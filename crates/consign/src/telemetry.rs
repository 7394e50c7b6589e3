//! Logs, and metrics in the Prometheus text format. Never a secret, an address, a payload or a person.

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;
use std::time::Duration;

use consign_core::id::{ConnectorId, CredentialId};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogOptions};
use line::{Line, Look};

pub use names::*;

mod line;
mod names;

/// How often histograms are emptied into their buckets: between two scrapes they would grow.
const UPKEEP: Duration = Duration::from_secs(5);
/// The unit of processor times under /proc, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Starts the log of this process on standard output. A second call changes nothing.
///
/// # Errors
/// When `log.level` is not readable.
pub fn start_log(options: &LogOptions) -> Result<(), String> {
    let filter =
        EnvFilter::builder().parse(&options.level).map_err(|_| "log.level is not readable".to_owned())?;
    let terminal = io::stdout().is_terminal();
    let look = match options.format {
        LogFormat::Text => Look::Text,
        LogFormat::Json => Look::Json,
        LogFormat::Auto if terminal => Look::Text,
        LogFormat::Auto => Look::Json,
    };
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).event_format(Line(look));
    // A log that already runs, in tests for one, stays.
    let _ = tracing::subscriber::set_global_default(subscriber.finish());
    Ok(())
}

/// The metrics of this process; installed at the first call.
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = BUCKETS.iter().fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
            builder
                .set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
                .expect("every list of buckets has entries")
        });
        let handle = builder.install_recorder().expect("metrics are installed once, here");
        describe();
        handle
    })
}

/// Empties histograms into their buckets, for as long as the process lives.
pub async fn upkeep() {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics().run_upkeep();
    }
}

/// What is read from the database for each scrape: it is true whichever process did it, and however long ago. The recorder
/// would never forget a label either: what was deleted would stay for ever.
#[derive(Default)]
pub struct Stored {
    /// The seconds until each credential with an end ends.
    pub credential_ends: Vec<(CredentialId, i64)>,
    /// When a run of each exporter was last done, in seconds since 1970.
    pub exporter_successes: Vec<(ConnectorId, i64)>,
}

/// The text of `/metrics`, with the figures of the process itself and those of the database.
pub fn render(stored: &Stored) -> String {
    measure_process();
    let mut text = metrics().render();
    let name = EXPORTER_LAST_SUCCESS;
    let help = "When a run of an exporter was last done";
    text += &gauges(name, help, "exporter", &stored.exporter_successes);
    let name = CREDENTIAL_SECONDS_UNTIL_END;
    let help = "Seconds until a credential ends; negative once it has";
    text += &gauges(name, help, "credential", &stored.credential_ends);
    text
}

/// A gauge with a row for each id; nothing without rows.
fn gauges<I: std::fmt::Display>(name: &str, help: &str, label: &str, rows: &[(I, i64)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
    for (id, value) in rows {
        text += &format!("{name}{{{label}=\"{id}\"}} {value}\n");
    }
    text
}

fn describe() {
    for (name, help) in COUNTERS {
        describe_counter!(*name, Unit::Count, *help);
    }
    for (name, help) in GAUGES {
        describe_gauge!(*name, *help);
    }
    for (name, help) in HISTOGRAMS {
        describe_histogram!(*name, *help);
    }
}

/// Memory, processor time and open files, as the kernel counts them.
fn measure_process() {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let nth = |text: &str, place: usize| {
        text.split_whitespace().nth(place).and_then(|word| word.parse::<f64>().ok())
    };
    let status = read("status");
    let kibibytes = status.lines().find(|line| line.starts_with("VmRSS:")).and_then(|line| nth(line, 1));
    if let Some(kibibytes) = kibibytes {
        gauge!(PROCESS_RESIDENT_MEMORY_BYTES).set(kibibytes * 1_024.0);
    }
    // The name of the program may hold spaces; the fields that count stand behind its bracket.
    let stat = read("stat");
    let fields = stat.rsplit(')').next().unwrap_or_default();
    if let Some((user, system)) = nth(fields, 11).zip(nth(fields, 12)) {
        gauge!(PROCESS_CPU_SECONDS).set((user + system) / TICKS_PER_SECOND);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        gauge!(PROCESS_OPEN_FDS).set(files.count() as f64);
    }
}

#[cfg(test)]
mod tests;
