//! The shape of the repository: no file without a document, no dead file, no wrong dependency, no own paths.

use super::Finding;
use super::source::{Source, Tree, is_word};

pub(super) fn module_doc(tree: &Tree) -> Vec<Finding> {
    // A `tests.rs` beside its module is described by that module.
    let described = |file: &&Source| file.path.ends_with("/tests.rs") || file.text.starts_with("//!");
    let bare = tree.rust().filter(|file| !described(file));
    bare.map(|file| Finding::new(&file.path, 1, "starts without a module doc (`//!`)")).collect()
}

pub(super) fn no_mod_rs(tree: &Tree) -> Vec<Finding> {
    let wrong = tree.rust().filter(|file| file.path.ends_with("/mod.rs"));
    wrong.map(|file| Finding::new(&file.path, 1, "`mod.rs`: name the file after its module")).collect()
}

/// A file that no `mod` names is never compiled.
pub(super) fn dead_file(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let Some((parents, name)) = parents(&file.path) else { continue };
        let declaration = format!("mod {name};");
        let declares = |parent: &Source| !parent.tight_with_tests().lines_of(&declaration).is_empty();
        if !parents.iter().filter_map(|parent| tree.file(parent)).any(declares) {
            findings.push(Finding::new(
                &file.path,
                1,
                format!("dead file: no `{declaration}` in {}", parents[0]),
            ));
        }
    }
    findings
}

/// The files that may declare this one, and its name; nothing for the root of a crate.
fn parents(path: &str) -> Option<(Vec<String>, &str)> {
    let (folder, name) = path.strip_suffix(".rs")?.rsplit_once('/')?;
    let (above, base) = folder.rsplit_once('/')?;
    let is_root = match base {
        "src" => matches!(name, "lib" | "main"),
        "tests" => !above.contains("/src"),
        _ => name == "main" || name == "build",
    };
    if is_root {
        return None;
    }
    // The folder's own file, or the roots of the crate.
    Some((vec![format!("{folder}.rs"), format!("{folder}/lib.rs"), format!("{folder}/main.rs")], name))
}

/// Dependencies that a crate may have, or may not.
enum Limit {
    Only(&'static [&'static str]),
    Without(&'static [&'static str]),
}

/// Cargo enforces the layers as long as the manifests keep them.
const MANIFESTS: &[(&str, Limit)] = &[
    ("xtask/Cargo.toml", Limit::Only(&[])),
    (
        "crates/consign-core/Cargo.toml",
        Limit::Only(&[
            "aws-lc-rs",
            "base64",
            "bytes",
            "form_urlencoded",
            "http",
            "httpdate",
            "idna",
            "jiff",
            "md5",
            "pkcs8",
            "rcgen",
            "proptest",
            "serde",
            "serde_json",
            "ssh-key",
            "strsim",
            "thiserror",
            "unicode-normalization",
            "x509-cert",
            "zeroize",
        ]),
    ),
    (
        "crates/consign-store/Cargo.toml",
        Limit::Without(&[
            "axum",
            "consign",
            "consign-transport",
            "http",
            "hyper",
            "hyper-util",
            "tokio-rustls",
        ]),
    ),
    ("crates/consign-transport/Cargo.toml", Limit::Without(&["axum", "consign", "consign-store", "sqlx"])),
];

pub(super) fn manifest(tree: &Tree) -> Vec<Finding> {
    let known = MANIFESTS.iter().filter_map(|(path, limit)| Some((tree.file(path)?, limit)));
    known.flat_map(|(file, limit)| limit.broken_in(file)).collect()
}

impl Limit {
    fn broken_in(&self, file: &Source) -> Vec<Finding> {
        let wrong = |name: &str| match self {
            Self::Only(names) => !names.contains(&name),
            Self::Without(names) => names.contains(&name),
        };
        let wrong = dependencies(&file.text).into_iter().filter(|(_, name)| wrong(name));
        let message = |name: &str| format!("`{name}` does not belong into this crate's layer");
        wrong.map(|(line, name)| Finding::new(&file.path, line, message(name))).collect()
    }
}

/// The names in every table of dependencies, for the program, its build and its tests, with their lines.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut names = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end().trim_end_matches(']');
            inside = table.ends_with("dependencies");
            if let Some((_, name)) = table.rsplit_once("dependencies.") {
                names.push((index + 1, name));
            }
        } else if inside && line.starts_with(|c: char| is_word(c)) {
            let end = line.find(|c: char| !is_word(c) && c != '-').unwrap_or(line.len());
            names.push((index + 1, &line[..end]));
        }
    }
    names
}

/// Folders of one person's machine.
const PERSONAL_FOLDERS: [&str; 4] = ["farm", "home", "root", "work"];

pub(super) fn machine_path(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().flat_map(machine_paths_in).collect()
}

fn machine_paths_in(file: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in PERSONAL_FOLDERS.map(|name| format!("/{name}/")) {
        for (index, line) in file.text.lines().enumerate() {
            // Behind a word it is a part of another path or address.
            let part_of_another =
                |at: usize| line[..at].ends_with(|c: char| is_word(c) || ".-~}*>)".contains(c));
            if line.match_indices(&folder).any(|(at, _)| !part_of_another(at)) {
                findings.push(Finding::new(
                    &file.path,
                    index + 1,
                    format!("`{folder}` is a path of one machine"),
                ));
            }
        }
    }
    findings
}
