//! The machine, as far as figures depend on it.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;
use jiff::Timestamp;

use crate::figures::{number, percentile};

/// Enough for a stable median.
const SYNCS: usize = 300;
const BLOCK_BYTES: usize = 512;

/// Facts, and the day.
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    compiler: String,
    disk: String,
    /// The median of a small write that is synced.
    sync_us: f64,
    pub(crate) date: String,
}

impl Machine {
    /// Looks at this machine, and at the disk of a folder.
    pub(crate) fn look(folder: &Path) -> anyhow::Result<Self> {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo")?;
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let meminfo = std::fs::read_to_string("/proc/meminfo")?;
        let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = kib.and_then(|line| line.split_ascii_whitespace().next()?.parse::<f64>().ok());
        Ok(Self {
            processor: processor
                .map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':']))
                .to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: kib.context("meminfo has other lines")? / f64::from(1 << 20),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            compiler: compiler()?,
            disk: disk(folder)?,
            sync_us: sync_us(folder)?,
            date: Timestamp::now().to_string().chars().take(10).collect(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cores of {}, {:.0} GiB of memory, Linux {}, {}; data on {}, where {BLOCK_BYTES} bytes \
             appended and synced take {} µs",
            self.cores,
            self.processor,
            self.memory_gib,
            self.kernel,
            self.compiler,
            self.disk,
            number(self.sync_us),
        )
    }
}

/// `rustc 1.95.0`.
fn compiler() -> anyhow::Result<String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(compiler).arg("--version").output().context("rustc cannot be asked")?;
    let said = String::from_utf8_lossy(&said.stdout);
    Ok(said.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// File system and device of the folder: the mount with the longest path above it.
fn disk(folder: &Path) -> anyhow::Result<String> {
    let folder = folder.canonicalize()?;
    let mounts = std::fs::read_to_string("/proc/mounts")?;
    let above = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, place, kind) = (words.next()?, words.next()?, words.next()?);
        folder.starts_with(place).then(|| (place.len(), format!("{kind} ({device})")))
    });
    Ok(above.max_by_key(|(length, _)| *length).context("the folder is on no disk")?.1)
}

fn sync_us(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("sync");
    let mut file = File::create(&path)?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[b'x'; BLOCK_BYTES])?;
        file.sync_data()?;
        took.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    std::fs::remove_file(&path)?;
    took.sort_unstable();
    Ok(percentile(&took, 0.5))
}
