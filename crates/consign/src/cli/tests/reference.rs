//! `docs/cli.md` holds what every command says of itself.

use clap::{Arg, ArgAction, Command};

use super::*;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
const START: &str = "\
# Commands

What `consign help COMMAND` says, in one place. Commands about credentials, connectors, events, deliveries and people talk to a server: sign in
with `consign login`, or set `CONSIGN_SERVER` and `CONSIGN_TOKEN`. `serve`, `demo`, `key`, `config` and `admin` work on the machine where
they run.

## Exit codes

| Code | Meaning |
| --- | --- |
| 0 | done |
| 1 | failed, for a reason without a code of its own |
| 2 | wrong usage |
| 3 | not found |
| 4 | sign-in needed or ended |
| 5 | not allowed |
| 6 | changed by someone else, or in the wrong state |
| 7 | values were not accepted |
| 8 | the other side said no: a test, a check or a comparison that did not pass |
| 9 | partly done: what failed is in the output |
| 10 | `apply --dry-run` found something to do |
| 11 | the server cannot be reached |
| 12 | waited too long |
| 130 | stopped by you |
";

/// The options of every command, once.
fn globals(out: &mut String, command: &Command) {
    out.push_str("\n## Options of every command\n");
    options(out, command.get_arguments().filter(|one| one.is_global_set()));
}

fn section(out: &mut String, command: &mut Command, path: &str, depth: usize) {
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string);
    out.push_str(&format!("\n{} {path}\n\n{}\n", "#".repeat(depth), about.unwrap_or_default().trim()));
    if !command.has_subcommands() {
        let usage = command.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage:").trim();
        let lines: Vec<_> = usage.lines().map(str::trim).collect();
        out.push_str(&format!("\n```\n{}\n```\n", lines.join("\n")));
        options(out, command.get_arguments().filter(|one| !one.is_global_set()));
    }
    for part in command.get_subcommands_mut().filter(|part| !part.is_hide_set() && part.get_name() != "help")
    {
        let path = format!("{path} {}", part.get_name());
        section(out, part, &path, (depth + 1).min(4));
    }
}

fn options<'a>(out: &mut String, all: impl Iterator<Item = &'a Arg>) {
    let shown: Vec<_> = all.filter(|one| !one.is_hide_set() && !is_built_in(one)).collect();
    if shown.is_empty() {
        return;
    }
    out.push_str("\n| Argument | Meaning |\n| --- | --- |\n");
    for one in shown {
        let help =
            one.get_long_help().or_else(|| one.get_help()).map(ToString::to_string).unwrap_or_default();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        out.push_str(&format!("| `{}` | {help} |\n", name(one).replace('|', "\\|")));
    }
}

fn is_built_in(one: &Arg) -> bool {
    matches!(
        one.get_action(),
        ArgAction::Help | ArgAction::Version | ArgAction::HelpShort | ArgAction::HelpLong
    )
}

/// `-s, --secret FIELD=FILE`.
fn name(one: &Arg) -> String {
    let short = one.get_short().map(|letter| format!("-{letter}"));
    let long = one.get_long().map(|word| format!("--{word}"));
    let flags: Vec<_> = [short, long].into_iter().flatten().collect();
    let values = one.get_value_names().filter(|_| one.get_action().takes_values());
    let values = values.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    [flags.join(", "), values.unwrap_or_default()].join(" ").trim().to_owned()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "whoever runs the test says whether it may write")]
fn the_reference_says_what_the_commands_say() {
    let mut command = Arguments::command();
    command.build();
    let mut whole = START.to_owned();
    globals(&mut whole, &command);
    for part in command.get_subcommands_mut().filter(|part| !part.is_hide_set() && part.get_name() != "help")
    {
        let path = format!("consign {}", part.get_name());
        section(&mut whole, part, &path, 2);
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(FILE, &whole).unwrap();
    }
    let written = std::fs::read_to_string(FILE).unwrap();
    let same = written.lines().zip(whole.lines()).position(|(written, said)| written != said);
    assert!(written == whole, "docs/cli.md differs from line {same:?}: run this test with UPDATE_EXPECT=1");
}
