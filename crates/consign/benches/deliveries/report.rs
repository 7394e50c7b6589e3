//! The written report: one section per scenario, each with its own machine, day and command.

use std::path::Path;

use crate::machine::Machine;

const INTRODUCTION: &str = "\
# Benchmarks

Made by `cargo xtask bench`; figures change with the machine, so each section names its own. Everything runs
on one machine and shares its cores: the clients that send events, Consign (`consign serve`, a release build
with the options as delivered, log included), and a receiving HTTPS tool in a process of its own. The tool
checks the `Authorization` header of every request and that every event arrives exactly once; the clients
check every answer. A run with one wrong or missing delivery does not count. An event carries 256 bytes of
padding; it is answered 202 once it is on disk (SQLite in WAL mode with `synchronous=FULL`, PostgreSQL with
`fsync=on`). Processor time is user and system time of the named process, memory is resident memory. Several
rounds are shown as `median [least..most]`.
";

/// What a scenario found.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// Markdown without headings.
    pub(crate) text: String,
}

/// Puts a section into the report, in place of the one with its title; sections keep the order in which they
/// came.
pub(crate) fn replace(
    file: &Path,
    section: &Section,
    machine: &Machine,
    command: &str,
) -> anyhow::Result<()> {
    let old = std::fs::read_to_string(file).unwrap_or_default();
    let measured = format!("Measured on {} by `{command}`: {machine}.", machine.date);
    let new = format!("{}\n\n{measured}\n\n{}", section.title, section.text.trim_end());
    let mut sections: Vec<&str> = old.split("\n## ").skip(1).map(str::trim_end).collect();
    match sections.iter_mut().find(|old| old.lines().next() == Some(section.title)) {
        Some(old) => *old = &new,
        None => sections.push(&new),
    }
    let sections: String = sections.iter().map(|section| format!("\n## {section}\n")).collect();
    std::fs::write(file, format!("{INTRODUCTION}{sections}"))?;
    Ok(())
}
