//! What tidy asks about: size. The answer may be that it is right as it is.

use super::Finding;
use super::source::{Source, Tree, closing, is_word, positions};

/// A file that takes longer to read is often two.
const FILE_LINES: usize = 500;
/// What fits on a screen.
const FUNCTION_LINES: usize = 70;
/// As in rustfmt.toml.
const LINE_COLUMNS: usize = 110;

pub(super) fn ask(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .flat_map(|file| [long_file(file), long_functions(file), long_lines(file)].into_iter().flatten())
        .collect()
}

fn long_file(file: &Source) -> Vec<Finding> {
    let lines = file.text.lines().count();
    let question = || Finding::new(&file.path, 1, format!("{lines} lines: is this two modules?"));
    if lines > FILE_LINES { vec![question()] } else { Vec::new() }
}

fn long_functions(file: &Source) -> Vec<Finding> {
    let mut questions = Vec::new();
    for start in positions(&file.code, "fn ") {
        let name: String = file.code[start + "fn ".len()..].chars().take_while(|c| is_word(*c)).collect();
        // A declaration without a body ends before any bracket opens; `fn(…)` is a type.
        let Some(body) = body(&file.code, start).filter(|_| !name.is_empty()) else { continue };
        let lines = file.code[start..body.end].matches('\n').count() + 1;
        if lines > FUNCTION_LINES {
            let line = file.code[..start].matches('\n').count() + 1;
            let question = format!("`{name}` has {lines} lines: is this two functions?");
            questions.push(Finding::new(&file.path, line, question));
        }
    }
    questions
}

/// The block of the function whose signature starts here.
fn body(code: &str, start: usize) -> Option<std::ops::Range<usize>> {
    let mut depth = 0_usize;
    for (position, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.checked_sub(1)?,
            b';' if depth == 0 => return None,
            b'{' if depth == 0 => return Some(position..closing(code, position)?),
            _ => {}
        }
    }
    None
}

fn long_lines(file: &Source) -> Vec<Finding> {
    let lines = file.text.lines().enumerate().map(|(index, line)| (index + 1, line.chars().count()));
    let long = lines.filter(|(_, columns)| *columns > LINE_COLUMNS);
    long.map(|(line, columns)| {
        Finding::new(&file.path, line, format!("{columns} columns: can this be shorter?"))
    })
    .collect()
}
