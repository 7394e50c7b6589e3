//! `cargo xtask bench`: the benchmarks, on SQLite and on a PostgreSQL of their own; figures go into the report.

use crate::{cargo, peers, root, succeeds};

const REPORT: &str = "docs/benchmarks.md";
/// Small counts, which prove nothing and are not written down.
const QUICK: &str = "--quick";

/// Runs the scenarios that are named, or all of them.
pub(crate) fn run(words: &[String]) -> Result<(), String> {
    if let Some(option) = words.iter().find(|word| word.starts_with('-') && *word != QUICK) {
        return Err(format!("unknown option `{option}`; there is {QUICK}, and names of scenarios"));
    }
    let postgres = peers::start_postgres()?;
    let mut command = cargo();
    command.args(["bench", "--quiet", "--locked", "--package", "consign", "--bench", "deliveries", "--"]);
    if !words.iter().any(|word| word == QUICK) {
        let typed = std::iter::once("cargo xtask bench").chain(words.iter().map(String::as_str));
        command
            .args(["--command", &typed.collect::<Vec<_>>().join(" "), "--report"])
            .arg(root().join(REPORT));
    }
    command.args(words).env("CONSIGN_BENCH_POSTGRES", postgres.url());
    if succeeds(&mut command)? { Ok(()) } else { Err("the benchmarks failed; see above".to_owned()) }
}
