//! `cargo xtask test`: the whole gate, step by step. It stops at the first step that fails.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::peers::{self, Peers};
use crate::{cargo, output, root, succeeds, tidy};

/// One step of the gate. Its note says what was done, and what was not.
struct Step {
    name: &'static str,
    run: fn(&Wish) -> Result<String, String>,
}

const STEPS: &[Step] = &[
    Step { name: "peers", run: install_peers },
    Step { name: "fmt", run: fmt },
    Step { name: "tidy", run: tidy_up },
    Step { name: "clippy", run: clippy },
    Step { name: "doc", run: doc },
    Step { name: "deny", run: deny },
    Step { name: "tests", run: tests },
];

/// What was asked for on the command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Steps to run; empty means all.
    only: Vec<String>,
    /// Fetch the advisory database and check against it.
    advisories: bool,
    /// Which tests, as a filter of nextest; all of them without one.
    tests: Option<String>,
}

impl Wish {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut wish = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--advisories" => wish.advisories = true,
                "--only" => wish.only.push(known_step(arguments.next())?),
                "--tests" => {
                    let filter = arguments.next().ok_or("--tests needs a filter, such as `test(oauth)`")?;
                    wish.tests = Some(filter.clone());
                    wish.only.push("tests".to_owned());
                }
                other => {
                    let known = "--only STEP, --tests FILTER and --advisories";
                    return Err(format!("unknown option `{other}`; there are {known}"));
                }
            }
        }
        Ok(wish)
    }

    fn wants(&self, step: &Step) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == step.name)
    }
}

fn known_step(name: Option<&String>) -> Result<String, String> {
    let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
    match name {
        Some(name) if names.contains(&name.as_str()) => Ok(name.clone()),
        _ => Err(format!("--only needs one of: {}", names.join(", "))),
    }
}

/// Runs the steps that are wanted, one line each, and a summary.
pub(crate) fn run(wish: &Wish) -> Result<(), String> {
    let start = Instant::now();
    let mut lines = Vec::new();
    for step in STEPS.iter().filter(|step| wish.wants(step)) {
        let began = Instant::now();
        match (step.run)(wish) {
            Ok(note) => {
                let line = format!("{:<8}{:>9}  {note}", step.name, clock(began.elapsed()));
                println!("xtask: {line}");
                lines.push(line);
            }
            Err(message) => {
                let again = format!("cargo xtask test --only {}", step.name);
                let took = clock(began.elapsed());
                return Err(format!("\nxtask: {} FAILED after {took}: {message}\nAgain: {again}", step.name));
            }
        }
    }
    println!("\nxtask: passed in {}", clock(start.elapsed()));
    for line in lines {
        println!("  {line}");
    }
    if !wish.only.is_empty() {
        println!("  This was a part of the gate: --only {}.", wish.only.join(" --only "));
    }
    Ok(())
}

fn clock(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    match tenths / 600 {
        0 => format!("{}.{} s", tenths / 10, tenths % 10),
        minutes => format!("{minutes} min {:02} s", tenths / 10 % 60),
    }
}

fn install_peers(_: &Wish) -> Result<String, String> {
    peers::install()?;
    install_tool("cargo-nextest", "nextest")?;
    install_tool("cargo-deny", "deny")?;
    Ok(Peers::find()?.to_string())
}

fn fmt(_: &Wish) -> Result<String, String> {
    check(cargo().args(["fmt", "--all", "--check"]), "run `cargo fmt --all`")?;
    Ok("formatted".to_owned())
}

fn tidy_up(_: &Wish) -> Result<String, String> {
    let report = tidy::report(&root())?;
    if report.findings.is_empty() {
        return Ok(format!("{} (`cargo xtask tidy` asks them)", report.summary()));
    }
    report.print_findings();
    Err(report.summary())
}

fn clippy(_: &Wish) -> Result<String, String> {
    let mut command = gate_cargo();
    command.args([
        "clippy",
        "--quiet",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]);
    check(&mut command, "see above")?;
    Ok("no warnings".to_owned())
}

fn doc(_: &Wish) -> Result<String, String> {
    let mut command = gate_cargo();
    command.args(["doc", "--quiet", "--locked", "--workspace", "--no-deps"]);
    check(command.env("RUSTDOCFLAGS", "--deny warnings"), "see above")?;
    Ok("no warnings".to_owned())
}

/// Advisories need a database that a closed network cannot fetch; whether they were checked is always said.
fn deny(wish: &Wish) -> Result<String, String> {
    install_tool("cargo-deny", "deny")?;
    let base = ["deny", "--log-level", "error", "--workspace", "check", "--hide-inclusion-graph"];
    check(
        cargo().args(base).args(["bans", "licenses", "sources"]),
        "see above; deny.toml says what may enter",
    )?;
    let done = "bans, licences and sources";
    if wish.advisories {
        check(cargo().args(base).arg("advisories"), "an advisory, or its database could not be fetched")?;
        return Ok(format!("{done}; advisories, freshly fetched"));
    }
    if !has_advisories() {
        return Ok(format!("{done}; advisories NOT checked: no database here, --advisories fetches one"));
    }
    check(cargo().args(base).args(["--disable-fetch", "advisories"]), "an advisory; see above")?;
    Ok(format!("{done}; advisories, as of the last fetch"))
}

/// Whether an earlier fetch left its database where cargo-deny looks for it.
fn has_advisories() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let databases = home.and_then(|home| std::fs::read_dir(home.join("advisory-dbs")).ok());
    databases.is_some_and(|mut entries| entries.any(|e| e.is_ok_and(|e| e.path().join(".git").exists())))
}

/// All tests, against SQLite, a PostgreSQL of their own and the real peers.
fn tests(wish: &Wish) -> Result<String, String> {
    install_tool("cargo-nextest", "nextest")?;
    let peers = Peers::find()?;
    let postgres = peers.start_postgres()?;
    let mut command = gate_cargo();
    command.args(["nextest", "run", "--locked", "--workspace", "--no-fail-fast", "--status-level", "slow"]);
    command.args(["--final-status-level", "slow", "--test-threads", &test_threads().to_string()]);
    if let Some(filter) = &wish.tests {
        command.args(["-E", filter]);
    }
    command.env("CONSIGN_TEST_POSTGRES", postgres.url());
    peers.tell(&mut command);
    check(&mut command, "see above")?;
    Ok(format!("passed on SQLite and PostgreSQL {}, with real peers", peers.postgres_version()))
}

/// Half as many again as there are processors: tests wait for clocks and peers.
fn test_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    processors + processors.div_ceil(2)
}

/// Cargo as the gate uses it. Automatic builds start from nothing, where incremental files only cost time.
fn gate_cargo() -> Command {
    let mut command = cargo();
    if std::env::var_os("CI").is_some() {
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Installs a cargo subcommand where it is missing. It runs for seconds: optimising it would cost more.
fn install_tool(package: &str, subcommand: &str) -> Result<(), String> {
    if output(cargo().args([subcommand, "--version"])).is_ok() {
        return Ok(());
    }
    println!("xtask: installing {package}");
    let mut install = cargo();
    install.args(["install", "--quiet", "--locked", package]);
    install.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    install.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    check(&mut install, &format!("cannot install {package}; by hand: cargo install --locked {package}"))
}

fn check(command: &mut Command, advice: &str) -> Result<(), String> {
    if succeeds(command)? { Ok(()) } else { Err(advice.to_owned()) }
}

#[cfg(test)]
mod tests;
