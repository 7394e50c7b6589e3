//! Benchmarks of the whole product, spoken to only from outside: `cargo xtask bench`.
//!
//! This process sends events and keeps the books. The receiving tool, which judges every request, is a process of
//! its own; so is the product, as `consign serve`. Whatever is wrong or missing makes a run worthless: an error.

#![expect(clippy::print_stdout, reason = "a benchmark talks on standard output")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads clocks and its environment, and dials the product"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};

use ground::Ground;
use report::Section;

mod accept;
mod addresses;
mod backlog;
mod certificate;
mod deliver;
mod figures;
mod files;
mod ground;
mod hang;
mod idle;
mod load;
mod machine;
mod many_files;
mod oauth;
mod pages;
mod peer;
mod process;
mod product;
mod recorder;
mod relay;
mod report;
mod rows;
mod sign;
mod sink;
mod sshd;
mod tool;
mod visitor;

/// The word that makes this program the receiving tool.
const SINK: &str = "receive";
/// Set by `cargo xtask bench`: a PostgreSQL of its own, with an empty first database.
const POSTGRES: &str = "CONSIGN_BENCH_POSTGRES";

/// What was asked for.
#[derive(Parser)]
#[command(name = "deliveries", about = "Measures Consign on this machine, on loopback only.")]
struct Arguments {
    /// What to measure; everything when nothing is named
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// Small counts: to see that it works, not to be quoted
    #[arg(long)]
    quick: bool,
    /// Where data folders are made: the disk that is measured
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// A Markdown file whose sections are replaced by what was measured
    #[arg(long, value_name = "FILE", conflicts_with = "quick")]
    report: Option<PathBuf>,
    /// The command that the report names
    #[arg(long, value_name = "TEXT", default_value = "cargo bench -p consign --bench deliveries")]
    command: String,
    /// Measure nothing: start Consign for another load program, and describe it in this file until Ctrl-C
    #[arg(long, value_name = "FILE", requires_all = ["sink", "ca_file", "token"])]
    peer_file: Option<PathBuf>,
    /// With --peer-file: the HTTPS address to deliver to
    #[arg(long, value_name = "URL")]
    sink: Option<String>,
    /// With --peer-file: the authority that signed the certificate there
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// With --peer-file: the bearer token that is expected there
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// In the order of the report.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    Deliver,
    Accept,
    Backlog,
    Hang,
    Oauth,
    Sign,
    Files,
    ManyFiles,
    Pages,
    Idle,
}

impl Scenario {
    async fn run(self, ground: &Ground) -> anyhow::Result<Section> {
        match self {
            Self::Deliver => deliver::run(ground).await,
            Self::Accept => accept::run(ground).await,
            Self::Backlog => backlog::run(ground).await,
            Self::Hang => hang::run(ground).await,
            Self::Oauth => oauth::run(ground).await,
            Self::Sign => sign::run(ground),
            Self::Files => files::run(ground).await,
            Self::ManyFiles => many_files::run(ground).await,
            Self::Pages => pages::run(ground).await,
            Self::Idle => idle::run(ground),
        }
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.split_first() {
        Some((first, rest)) if first == SINK => sink::run(rest),
        _ => measure(Arguments::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: Arguments) -> anyhow::Result<()> {
    // One thread, so that the load takes no more than one core from the product.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ground = Ground::prepare(arguments.dir.clone(), arguments.quick, std::env::var(POSTGRES).ok())?;
        match &arguments.peer_file {
            Some(file) => {
                let missing = "clap asks for all of them";
                let (url, ca) = (arguments.sink.as_deref().context(missing)?, arguments.ca_file.as_deref());
                let token = arguments.token.as_deref().context(missing)?;
                peer::serve(&ground, file, url, ca.context(missing)?, token).await
            }
            None => scenarios(&arguments, &ground).await,
        }
    })
}

async fn scenarios(arguments: &Arguments, ground: &Ground) -> anyhow::Result<()> {
    if cfg!(debug_assertions) && !arguments.quick {
        bail!("this is an unoptimised build, whose figures mean nothing: use `cargo bench`, or --quick");
    }
    println!("{}", ground.machine);
    let all = Scenario::value_variants();
    let wanted = all.iter().filter(|one| arguments.scenarios.is_empty() || arguments.scenarios.contains(one));
    for scenario in wanted {
        let section = scenario.run(ground).await?;
        println!("\n## {}\n\n{}", section.title, section.text);
        if let Some(file) = &arguments.report {
            report::replace(file, &section, &ground.machine, &arguments.command)?;
            println!("written to {}", file.display());
        }
    }
    Ok(())
}
