//! `cargo xtask licences`: the list of what the program is built of, with the licence of each, for *Settings > About*
//! and `consign licences`. Tidy says when it is not that of the lock file any more.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{cargo, output};

/// Where the program reads it from.
pub(crate) const FILE: &str = "crates/consign/third-party.tsv";

/// What the program is shipped for: the list is the same wherever it is made.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

const HEAD: &str =
    "# Crates that consign is built of: name, version, licence, source. Made by `cargo xtask licences`.\n";

/// Writes the list.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let text = list(&tree()?)?;
    let path = root.join(FILE);
    std::fs::write(&path, &text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    println!("licences: {} crates in {FILE}", text.lines().count() - 1);
    Ok(())
}

/// What is wrong with the list, if anything.
pub(crate) fn fault(root: &Path) -> Result<Option<String>, String> {
    let written = std::fs::read_to_string(root.join(FILE)).unwrap_or_default();
    let current = list(&tree()?)?;
    let stale = || format!("{FILE}:1: it is not that of Cargo.lock: run `cargo xtask licences` [licences]");
    Ok((written != current).then(stale))
}

/// Every crate behind the program, one a line: package, licence, source. What Cargo.lock names and this machine does not
/// have yet is downloaded first: crates of other systems are among it, which no build here needs.
fn tree() -> Result<String, String> {
    let mut tree = cargo();
    tree.args(["tree", "--locked", "--package", "consign", "--edges", "normal,no-proc-macro"]);
    for target in TARGETS {
        tree.args(["--target", target]);
    }
    output(tree.args(["--prefix", "none", "--no-dedupe", "--format", "{p}\t{l}\t{r}"]))
}

/// The list: third parties alone, each version once, by name.
fn list(tree: &str) -> Result<String, String> {
    let mut crates = BTreeMap::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let mut parts = line.split('\t');
        let (package, licence, source) = (parts.next(), parts.next(), parts.next());
        let mut words = package.unwrap_or_default().split(' ');
        let (Some(name), Some(version), rest) = (words.next(), words.next(), words.next()) else {
            return Err(format!("cargo tree says `{line}`, which names no version"));
        };
        // What lies in a folder is our own.
        if rest.is_some_and(|rest| rest.starts_with("(/")) {
            continue;
        }
        let licence = licence.filter(|licence| !licence.is_empty());
        let licence = licence.ok_or_else(|| format!("{name} {version} names no licence: ask its authors"))?;
        let version = version.trim_start_matches('v').to_owned();
        let row = [spdx(licence), source.unwrap_or_default().to_owned()];
        crates.insert((name.to_owned(), version), row);
    }
    let rows = crates
        .iter()
        .map(|((name, version), [licence, source])| format!("{name}\t{version}\t{licence}\t{source}\n"));
    Ok(format!("{HEAD}{}", rows.collect::<String>()))
}

/// Older crates write `MIT/Apache-2.0` for what SPDX writes with `OR`.
fn spdx(licence: &str) -> String {
    licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

#[cfg(test)]
mod tests;
