//! Developer commands: `cargo xtask COMMAND`. There are no dependencies, so that it compiles in a second.

#![expect(clippy::print_stdout, reason = "a developer's tool talks on standard output")]
#![expect(
    clippy::disallowed_methods,
    reason = "this is no part of the product: it times steps and reads its environment"
)]

mod bench;
mod gate;
mod licences;
mod peers;
mod screenshots;
mod tidy;
mod words;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands:
  test [--only STEP] [--advisories]   the whole gate: peers, fmt, tidy, clippy, doc, deny, tests
                                      (--only may be given several times)
  test --tests FILTER                 the tests that a filter of nextest names, with all peers
  tidy                                what the compiler cannot check
  licences                            the list of what the program is built of, with the licence of each
  run [OPTIONS]                       `consign serve` with a throw-away data folder; OPTIONS go to `serve`
  words                               every phrase of the console into crates/consign/words.pot
  screenshots                         every page in light and dark into target/screenshots; those that README and docs show
                                      go to docs/images
  bench [--quick] [SCENARIO...]       deliver, accept, backlog, files, many-files, hang, idle, oauth, sign, pages: all
                                      of them when none is named; figures go into docs/benchmarks.md (--quick: small
                                      counts, nothing is written)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let done = match arguments.first().map(String::as_str) {
        Some("test") => gate::Wish::parse(rest).and_then(|wish| gate::run(&wish)),
        Some("tidy") if rest.is_empty() => tidy::run(&root()),
        Some("licences") if rest.is_empty() => licences::run(&root()),
        Some("run") => serve(rest),
        Some("words") if rest.is_empty() => words::run(&root()),
        Some("screenshots") if rest.is_empty() => screenshots::run(),
        Some("bench") => bench::run(rest),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            Ok(())
        }
        Some(_) => Err(format!("unknown command or option: `{}`\n\n{USAGE}", arguments.join(" "))),
        None => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the program and becomes `consign serve`, over an empty folder.
fn serve(options: &[String]) -> Result<(), String> {
    let root = root();
    let folder = root.join("target/xtask-run");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|e| format!("cannot empty {}: {e}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
    let mut build = cargo();
    build.args(["build", "--package", "consign"]);
    if !succeeds(&mut build)? {
        return Err("consign does not build".to_owned());
    }
    let program = target_folder(&root).join("debug/consign");
    let failure = Command::new(&program)
        .arg("serve")
        .args(options)
        .env("CONSIGN_DATA_DIR", &folder)
        .current_dir(&folder)
        .exec();
    Err(format!("cannot start {}: {failure}", program.display()))
}

/// The workspace's folder.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask lies in the workspace").to_path_buf()
}

/// Where cargo builds.
fn target_folder(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

/// The cargo that runs this, in the workspace's folder.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command on this terminal. An error is a command that could not be started.
fn succeeds(command: &mut Command) -> Result<bool, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.status().map(|status| status.success()).map_err(|e| format!("cannot start {name}: {e}"))
}

/// Runs a command and gives its standard output, or its standard error as the message.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("cannot start {name}: {e}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}
