//! Rules about secrets, authorization types, columns, options and words.

use std::collections::HashSet;

use super::Finding;
use super::layers::top_level_parts;
use super::source::{Source, Tree, closing, is_word, positions};
use crate::words;

const GUARDED_TYPES: [&str; 2] = ["Secret", "Sealed"];
const LEAKING_TRAITS: [&str; 3] = ["Serialize", "Display", "ToString"];

/// `Secret` and `Sealed` cannot be written out by accident.
pub(super) fn secret_trait(tree: &Tree) -> Vec<Finding> {
    let product = tree.rust().filter(|file| file.path.starts_with("crates/"));
    product.flat_map(|file| leaking_impls(file).into_iter().chain(leaking_derives(file))).collect()
}

fn leaking_impls(file: &Source) -> Vec<Finding> {
    let tight = file.tight();
    let mut findings = Vec::new();
    for position in positions(&tight.code, "impl") {
        let Some(end) = tight.code[position..].find('{') else { continue };
        let Some((of, target)) = trait_and_target(&tight.code[position..position + end]) else { continue };
        // Generics may hold a guarded type; what counts is the type itself.
        let target = target.split('<').next().unwrap_or(target);
        let target = target.rsplit([':', '&', ' ']).next().unwrap_or(target);
        let leaks = |name: &&str| positions(of, name).next().is_some();
        if GUARDED_TYPES.contains(&target)
            && let Some(name) = LEAKING_TRAITS.iter().find(|name| leaks(name))
        {
            let message = format!("`{target}` must not have `{name}`");
            findings.push(Finding::new(&file.path, tight.line_at(position), message));
        }
    }
    findings
}

/// The two sides of the `for` of an `impl`; `for<` belongs to a lifetime.
fn trait_and_target(head: &str) -> Option<(&str, &str)> {
    let at = positions(head, "for").find(|at| !head[at + 3..].starts_with('<'))?;
    let target = head[at + 3..].trim_start();
    Some((&head[..at], target.split(" where ").next().unwrap_or(target)))
}

fn leaking_derives(file: &Source) -> Vec<Finding> {
    let tight = file.tight();
    let mut findings = Vec::new();
    for name in GUARDED_TYPES {
        for position in
            [format!("struct {name}"), format!("enum {name}")].iter().flat_map(|w| positions(&tight.code, w))
        {
            // Attributes stand between the end of what was before and the word itself.
            let attributes = tight.code[..position].rsplit(['}', ';']).next().unwrap_or_default();
            let leaking = |name: &&&str| positions(attributes, name).next().is_some();
            if let Some(leak) = LEAKING_TRAITS.iter().find(leaking) {
                let message = format!("`{name}` must not derive `{leak}`");
                findings.push(Finding::new(&file.path, tight.line_at(position), message));
            }
        }
    }
    findings
}

const AUTH: &str = "crates/consign-core/src/auth.rs";
const AUTH_FOLDER: &str = "crates/consign-core/src/auth/";
const AUTH_DOCUMENT: &str = "docs/credentials.md";
/// Not a type: what the OAuth types have in common.
const SHARED_BY_TYPES: [&str; 1] = ["crates/consign-core/src/auth/oauth.rs"];

/// Every authorization type can be chosen, and can be read about.
pub(super) fn authorization_type(tree: &Tree) -> Vec<Finding> {
    let list = tree.file(AUTH).and_then(listed_types).unwrap_or_default();
    let document = tree.file(AUTH_DOCUMENT).map(|file| file.text.as_str());
    let types = tree.rust().filter(|file| file.path.starts_with(AUTH_FOLDER) && !file.is_test());
    let types = types.filter(|file| !SHARED_BY_TYPES.contains(&file.path.as_str()));
    types.flat_map(|file| missing_of_type(file, list, document)).collect()
}

/// What stands between the brackets of `AUTHORIZATION_TYPES`.
fn listed_types(auth: &Source) -> Option<&str> {
    let code = auth.tight().code.as_str();
    let start = positions(code, "static AUTHORIZATION_TYPES").next()?;
    let open = start + code[start..].find("=&[")? + 2;
    Some(&code[open..closing(code, open)?])
}

fn missing_of_type(file: &Source, list: &str, document: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |message: String| findings.push(Finding::new(&file.path, 1, message));
    let name = file.path.trim_start_matches(AUTH_FOLDER).trim_end_matches(".rs");
    let value = format!("{name}::TYPE");
    if positions(list, &value).next().is_none() {
        find(format!("`{value}` is missing from AUTHORIZATION_TYPES in {AUTH}"));
    }
    match (kind(file), document) {
        (None, _) => find("names no `kind: \"…\"`".to_owned()),
        (Some(_), None) => find(format!("{AUTH_DOCUMENT} is missing")),
        (Some(kind), Some(text)) if !text.contains(&format!("`{kind}`")) => {
            find(format!("{AUTH_DOCUMENT} does not describe `{kind}`"));
        }
        (Some(_), Some(_)) => {}
    }
    findings
}

/// The stored name of the file's type. (Code and text have every byte at the same place.)
fn kind(file: &Source) -> Option<&str> {
    let start = positions(&file.code, "static TYPE").next().unwrap_or(0);
    let at = start + positions(&file.code[start..], "kind:").next()?;
    file.text[at..].split('"').nth(1)
}

const COLUMN_TYPES: [&str; 3] = ["text", "bigint", "blob"];

/// One SQL text serves two databases with three types.
pub(super) fn column_type(tree: &Tree) -> Vec<Finding> {
    let in_folder =
        |path: &str| path.starts_with("crates/consign-store/migrations/") && path.ends_with(".sql");
    tree.files.iter().filter(|file| in_folder(&file.path)).flat_map(wrong_columns).collect()
}

fn wrong_columns(file: &Source) -> Vec<Finding> {
    let sql = without_sql_comments(&file.text.to_lowercase());
    let mut findings = Vec::new();
    let mut judge = |at: usize, column: &str| {
        let words: Vec<&str> = column.split_whitespace().collect();
        let constraint = ["primary", "unique", "foreign", "check", "constraint"];
        let Some(first) = words.first() else { return };
        let first = first.split('(').next().unwrap_or(first);
        let sort = words.get(1).copied().unwrap_or("(none)");
        if !constraint.contains(&first) && !COLUMN_TYPES.contains(&sort) {
            let line = sql[..at].matches('\n').count() + 1;
            findings.push(Finding::new(
                &file.path,
                line,
                format!("column `{first}` has type `{sort}`: {COLUMNS}"),
            ));
        }
    };
    for start in positions(&sql, "create table") {
        let Some(open) = sql[start..].find('(').map(|found| start + found) else { continue };
        let end = closing(&sql, open).unwrap_or(sql.len());
        let mut at = open + 1;
        for column in top_level_parts(&sql[open + 1..end]) {
            judge(at + column.len() - column.trim_start().len(), column);
            at += column.len() + 1;
        }
    }
    for at in positions(&sql, "add column") {
        let after = &sql[at + "add column".len()..];
        judge(at, after.split(';').next().unwrap_or(after).trim_start().trim_start_matches("if not exists "));
    }
    findings
}

const COLUMNS: &str = "both databases share TEXT, BIGINT and BLOB only";

/// Comments become blanks, so that lines keep their numbers.
fn without_sql_comments(sql: &str) -> String {
    let code = |line: &str| line.split("--").next().unwrap_or_default().to_owned();
    sql.split('\n').map(code).collect::<Vec<_>>().join("\n")
}

const CONFIG: &str = "crates/consign/src/config.rs";
const DEFAULTS: &str = "crates/consign/consign.default.toml";

/// The defaults that the program prints are the documentation of its options.
pub(super) fn default_options(tree: &Tree) -> Vec<Finding> {
    match (tree.file(CONFIG), tree.file(DEFAULTS)) {
        (Some(_), None) => vec![Finding::new(CONFIG, 1, format!("{DEFAULTS} is missing"))],
        (_, Some(defaults)) => wrong_options(defaults),
        (None, None) => Vec::new(),
    }
}

/// Every line is a table, an option, or a comment; an option, commented out or not, stands there once.
fn wrong_options(file: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = HashSet::new();
    let mut table = "";
    for (index, line) in file.text.lines().enumerate() {
        let mut find = |message: String| findings.push(Finding::new(&file.path, index + 1, message));
        let line = line.trim();
        let bare = line.trim_start_matches('#').trim_start();
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = name;
        } else if let Some(key) = option_key(bare) {
            if !seen.insert((table, key)) {
                find(format!("option `{key}` of [{table}] stands here twice"));
            }
        } else if !line.is_empty() && !line.starts_with('#') {
            find("neither a table, an option nor a comment".to_owned());
        }
    }
    findings
}

/// The key of `key = value`.
fn option_key(line: &str) -> Option<&str> {
    let (key, value) = line.split_once(" = ")?;
    let is_key = !key.is_empty() && key.chars().all(|c| is_word(c) || c == '.');
    (is_key && !value.trim().is_empty()).then_some(key)
}

/// The phrases that a translator is given are those that the console says now.
pub(super) fn words(tree: &Tree) -> Vec<Finding> {
    let expected = words::expected(tree);
    let present = tree.file(words::PATH).map_or("", |file| file.text.as_str());
    if present == expected || expected == words::HEAD && present.is_empty() {
        return Vec::new();
    }
    let same = present.lines().zip(expected.lines()).take_while(|(one, other)| one == other).count();
    vec![Finding::new(words::PATH, same + 1, "not what the tree says now: run `cargo xtask words`")]
}
