//! `cargo xtask words`: every phrase that the console shows, in one file, as a translator's tools read it
//! (a gettext template: GNU gettext manual, "The Format of PO Files").
//!
//! The words stay where they are said, so that a page reads as it looks; this file is made from them. English is
//! the key: a phrase that is said in two places is one entry. Tidy refuses a file that is not what the tree says.

mod phrases;
mod script;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use crate::tidy::source::{Source, Tree};

/// Where the file lies.
pub(crate) const PATH: &str = "crates/consign/words.pot";

/// What the file begins with.
pub(crate) const HEAD: &str = "\
# Every phrase of Consign's console. Made by `cargo xtask words`; do not edit.
msgid \"\"
msgstr \"\"
\"Project-Id-Version: consign\\n\"
\"PO-Revision-Date: \\n\"
\"Last-Translator: \\n\"
\"Language-Team: \\n\"
\"Language: \\n\"
\"MIME-Version: 1.0\\n\"
\"Content-Type: text/plain; charset=UTF-8\\n\"
\"Content-Transfer-Encoding: 8bit\\n\"
";

/// Each phrase, and the files that say it.
type Words = BTreeMap<String, BTreeSet<String>>;

/// Writes the file and says how much is in it.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let words = collect(&Tree::read(root)?);
    std::fs::write(root.join(PATH), print(&words)).map_err(|e| format!("cannot write {PATH}: {e}"))?;
    println!("words: {} phrases in {PATH}", words.len());
    Ok(())
}

/// The file as it should be.
pub(crate) fn expected(tree: &Tree) -> String {
    print(&collect(tree))
}

fn collect(tree: &Tree) -> Words {
    let mut words = Words::new();
    for file in &tree.files {
        for phrase in said_in(file) {
            words.entry(phrase).or_default().insert(file.path.clone());
        }
    }
    words
}

fn said_in(file: &Source) -> Vec<String> {
    let speaks = |folders: &[&str]| folders.iter().any(|folder| file.path.starts_with(folder));
    if file.path.ends_with(".html") && speaks(&["crates/consign/src/console/templates/"]) {
        template::phrases(&file.text)
    } else if file.path == "crates/consign/src/console/assets/consign.js" {
        script::phrases(&file.text)
    } else if file.is_rust() && !file.is_test() && speaks(SPEAKING) {
        phrases::of_rust(file)
    } else {
        Vec::new()
    }
}

/// The Rust code whose sentences come onto a page.
const SPEAKING: &[&str] = &[
    "crates/consign-core/src/",
    "crates/consign/src/console",
    "crates/consign/src/engine",
    "crates/consign/src/ops",
];

fn print(words: &Words) -> String {
    let mut out = HEAD.to_owned();
    for (phrase, places) in words {
        out.push('\n');
        for place in places {
            writeln!(out, "#: {place}").expect("a string takes any text");
        }
        if phrase.contains('{') {
            out.push_str("#, rust-format\n");
        }
        writeln!(out, "msgid \"{}\"\nmsgstr \"\"", escape(phrase)).expect("a string takes any text");
    }
    out
}

fn escape(phrase: &str) -> String {
    phrase.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t")
}

#[cfg(test)]
mod tests;
