//! What /proc tells of a process: time on a processor, and memory.

use std::path::Path;

use anyhow::Context as _;

/// Linux counts processor time in hundredths of a second.
const TICK_MS: f64 = 10.0;

/// User and system time so far, in milliseconds, all threads together.
pub(crate) fn cpu_ms(process: u32) -> anyhow::Result<f64> {
    Ok(ticks(process, &[11, 12])? * TICK_MS)
}

/// The same of all children of this process that have ended, and of theirs.
pub(crate) fn ended_children_cpu_ms() -> anyhow::Result<f64> {
    Ok(ticks(std::process::id(), &[13, 14])? * TICK_MS)
}

/// The sum of some fields of `stat`, counted behind the name: 11 user, 12 system, 13 and 14 the same of ended
/// children.
fn ticks(process: u32, places: &[usize]) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("stat has no name")?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let field = |place: &usize| fields.get(*place).and_then(|field| field.parse::<f64>().ok());
    places.iter().map(field).sum::<Option<f64>>().context("stat has other fields")
}

/// Resident memory, in MiB.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    /// The most that it ever was, or has been since [`forget_peak`].
    pub(crate) peak: f64,
}

pub(crate) fn memory(process: u32) -> anyhow::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let mib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.split_ascii_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
    };
    let found = mib("VmRSS:").zip(mib("VmHWM:"));
    let (now, peak) = found.context("status has other lines")?;
    Ok(Memory { now, peak })
}

/// From now on the most memory is counted anew.
pub(crate) fn forget_peak(process: u32) -> anyhow::Result<()> {
    // proc(5): 5 sets VmHWM to what is resident now.
    std::fs::write(format!("/proc/{process}/clear_refs"), "5").context("clear_refs takes nothing")
}

/// The PostgreSQL server that was started with this port.
pub(crate) fn postgres_on(port: u16) -> anyhow::Result<u32> {
    let port = port.to_string();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end while it is looked at.
        let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&str> = line.split('\0').collect();
        let is_server = words.first().is_some_and(|program| Path::new(program).ends_with("postgres"));
        if is_server && words.windows(2).any(|pair| pair[0] == "-p" && pair[1] == port) {
            return Ok(process);
        }
    }
    anyhow::bail!("no PostgreSQL with port {port} runs here")
}

/// Processor time of a PostgreSQL server and all its processes, ended ones too, in milliseconds.
pub(crate) fn postgres_cpu_ms(server: u32) -> anyhow::Result<f64> {
    let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children"))?;
    let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
    // One that has just ended is counted by its parent.
    let living: f64 = children.map(|child| ticks(child, &[11, 12]).unwrap_or(0.0)).sum();
    Ok((ticks(server, &[11, 12, 13, 14])? + living) * TICK_MS)
}
