//! Arrows point down: which modules of the program may name which others.

use super::Finding;
use super::source::{Source, Tree, closing, is_word, positions};

const PROGRAM: &str = "crates/consign/src/";

pub(super) struct Layer {
    pub(super) module: &'static str,
    pub(super) may_not_name: &'static [&'static str],
    /// Files that start the product, and so name all of it.
    except: &'static [&'static str],
}

pub(super) const LAYERS: &[Layer] = &[
    Layer { module: "engine", may_not_name: &["ops", "api", "console", "cli"], except: &[] },
    Layer { module: "ops", may_not_name: &["api", "console", "cli"], except: &[] },
    Layer { module: "console", may_not_name: &["api", "cli"], except: &[] },
    Layer { module: "api", may_not_name: &["console", "cli"], except: &[] },
    Layer {
        module: "cli",
        may_not_name: &["api", "console", "ops", "engine"],
        except: &[
            "cli/admin.rs",
            "cli/backup/restore.rs",
            "cli/demo.rs",
            "cli/demo/exporter.rs",
            "cli/serve.rs",
        ],
    },
];

pub(super) fn layering(tree: &Tree) -> Vec<Finding> {
    let pairs = tree.rust().flat_map(|file| LAYERS.iter().map(move |layer| (file, layer)));
    pairs.filter(|(file, layer)| layer.holds(file)).flat_map(|(file, layer)| layer.broken_in(file)).collect()
}

impl Layer {
    fn holds(&self, file: &Source) -> bool {
        let Some(path) = file.path.strip_prefix(PROGRAM) else { return false };
        let rest = path.strip_prefix(self.module);
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/')) && !self.except.contains(&path)
    }

    fn broken_in(&self, file: &Source) -> Vec<Finding> {
        let named =
            modules_named(file).into_iter().filter(|(_, name)| self.may_not_name.contains(&name.as_str()));
        let message = |name: &str| format!("`{}` may not name `crate::{name}`", self.module);
        named.map(|(line, name)| Finding::new(&file.path, line, message(&name))).collect()
    }
}

/// The top modules of the crate that a file names, by `crate::` or by enough `super::`, alone or in a group.
fn modules_named(file: &Source) -> Vec<(usize, String)> {
    let path = file.path.strip_prefix(PROGRAM).unwrap_or(&file.path);
    let to_the_top = "super::".repeat(path.split('/').count());
    let tight = file.tight_with_tests();
    let code = tight.code.as_str();
    let mut named = Vec::new();
    for start in ["crate::", "consign::", to_the_top.as_str()] {
        for position in positions(code, start) {
            let after = position + start.len();
            named.extend(first_names(code, after).into_iter().map(|name| (tight.line_at(position), name)));
        }
    }
    named
}

/// The name that stands here, or the first names of the group that opens here.
fn first_names(code: &str, at: usize) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| is_word(*c)).collect::<String>();
    if !code[at..].starts_with('{') {
        return vec![word(&code[at..])];
    }
    let end = closing(code, at).unwrap_or(code.len());
    top_level_parts(&code[at + 1..end]).map(word).collect()
}

/// The parts between commas that stand in no bracket.
pub(super) fn top_level_parts(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    text.split(move |c: char| {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}
