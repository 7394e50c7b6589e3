//! What the compiler cannot check. Rules fail the gate; questions are only asked.

mod bans;
mod layers;
mod product;
mod questions;
mod shape;
pub(crate) mod source;

use std::fmt;
use std::path::Path;

use source::Tree;

/// Something that is wrong whatever the taste.
struct Rule {
    name: &'static str,
    check: fn(&Tree) -> Vec<Finding>,
}

const RULES: &[Rule] = &[
    Rule { name: "module-doc", check: shape::module_doc },
    Rule { name: "no-mod-rs", check: shape::no_mod_rs },
    Rule { name: "dead-file", check: shape::dead_file },
    Rule { name: "manifest", check: shape::manifest },
    Rule { name: "machine-path", check: shape::machine_path },
    Rule { name: "layering", check: layers::layering },
    Rule { name: "banned-word", check: bans::banned_word },
    Rule { name: "secret-trait", check: product::secret_trait },
    Rule { name: "authorization-type", check: product::authorization_type },
    Rule { name: "column-type", check: product::column_type },
    Rule { name: "default-options", check: product::default_options },
    Rule { name: "words", check: product::words },
];

/// A rule broken at a place.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// What tidy saw.
pub(crate) struct Report {
    /// Each with the name of its rule.
    pub(crate) findings: Vec<String>,
    questions: Vec<Finding>,
    files: usize,
}

impl Report {
    pub(crate) fn print_findings(&self) {
        for finding in &self.findings {
            println!("{finding}");
        }
    }

    pub(crate) fn summary(&self) -> String {
        let (findings, questions) = (self.findings.len(), self.questions.len());
        let files = self.files;
        format!("{files} files, {} rules: {findings} findings, {questions} questions", RULES.len())
    }
}

/// `cargo xtask tidy`: prints questions and findings; findings are an error.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let report = report(root)?;
    for question in &report.questions {
        println!("{question}");
    }
    report.print_findings();
    if !report.findings.is_empty() {
        return Err(format!("tidy: {}", report.summary()));
    }
    println!("tidy: {}", report.summary());
    Ok(())
}

/// Reads the repository and tries every rule.
pub(crate) fn report(root: &Path) -> Result<Report, String> {
    let tree = Tree::read(root)?;
    let licences = crate::licences::fault(root)?;
    let tried = RULES.iter().flat_map(|rule| {
        let findings = (rule.check)(&tree);
        findings.into_iter().map(|finding| format!("{finding} [{}]", rule.name))
    });
    Ok(Report {
        findings: tried.chain(licences).collect(),
        questions: questions::ask(&tree),
        files: tree.files.len(),
    })
}

#[cfg(test)]
mod tests;
