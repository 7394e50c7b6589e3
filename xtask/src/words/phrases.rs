//! Phrases in string literals: of Rust, and of the expressions in the console's templates.

use crate::tidy::source::Source;

/// What says of a literal that people read it, although it begins no sentence: the function that takes it.
const MARK: &str = "small_word(";

/// Phrases in the literals of a Rust file, tests left out.
pub(super) fn of_rust(file: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(open) = file.product[rest..].find('"').map(|at| rest + at) {
        let Some(close) = file.product[open + 1..].find('"').map(|at| open + 1 + at) else { break };
        let before = &file.product[..open];
        let text = &file.text[open + 1..close];
        let text = if before.ends_with(['#', 'r']) { text.to_owned() } else { unescape(text) };
        if before.ends_with(MARK) || reads_as_words(&text) {
            found.push(text);
        }
        rest = close + 1;
    }
    found
}

/// The literals of one expression.
pub(super) fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(open) = rest.find('"') {
        let inside = &rest[open + 1..];
        let mut escaped = false;
        let end = inside.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end else { break };
        found.push(unescape(&inside[..end]));
        rest = &inside[end + 1..];
    }
    found
}

/// Whether a literal is said to a person: it begins as a sentence does, or holds several words.
pub(super) fn reads_as_words(text: &str) -> bool {
    let text = text.trim();
    let words = || text.split_whitespace().filter(|word| word.chars().all(is_prose)).count();
    let begins = text.chars().next().is_some_and(|c| c.is_uppercase() || matches!(c, '“' | '{'));
    let statement = ["SELECT ", "INSERT ", "UPDATE ", "DELETE "].iter().any(|verb| text.starts_with(verb));
    begins
        && says_something(text)
        && text.contains(char::is_lowercase)
        && !statement
        && (words() >= 2 || is_title(text))
}

/// Whether two letters stand outside of braces.
pub(super) fn says_something(phrase: &str) -> bool {
    let mut depth = 0_usize;
    let mut letters = 0;
    for c in phrase.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if depth == 0 && c.is_alphabetic() => letters += 1,
            _ => {}
        }
    }
    letters >= 2
}

fn is_prose(c: char) -> bool {
    c.is_alphabetic()
        || matches!(c, '.' | ',' | ':' | ';' | '’' | '\'' | '“' | '”' | '?' | '…' | '-' | '{' | '}')
}

/// One word as on a button.
fn is_title(text: &str) -> bool {
    let mut letters = text.trim_end_matches(['…', '.', '?']).chars();
    letters.next().is_some_and(char::is_uppercase) && letters.all(char::is_lowercase)
}

pub(super) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push('\t'),
                // A line that goes on below: its break and the indentation are not said.
                Some('\n') => rest = rest.as_str().trim_start().chars(),
                Some(other) => plain.push(other),
                None => {}
            },
            c => plain.push(c),
        }
    }
    plain
}
