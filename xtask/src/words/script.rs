//! Phrases in the console's script: its literals, in whichever of the three quotes they stand. What a template literal
//! puts in becomes a name in braces, as in a format string.

use super::{phrases, template};

/// Behind these a literal is said or shown, however it begins.
const SAYS: &[&str] = &["say(", ".textContent = "];

/// What is only compared with is nobody's to read, such as the name of a key.
const COMPARES: &[&str] = &["=== ", "!== "];

pub(super) fn phrases(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(here) = code[at..].find(['"', '\'', '`', '/', '\\']).map(|step| at + step) {
        let after = &code[here..];
        at = here
            + if after.starts_with("//") {
                after.find('\n').unwrap_or(after.len())
            } else if after.starts_with("/*") {
                after.find("*/").map_or(after.len(), |end| end + 2)
            } else if let Some(escaped) = after.strip_prefix('\\') {
                // In a regular expression: what follows begins nothing.
                1 + escaped.chars().next().map_or(0, char::len_utf8)
            } else if let Some(literal) = literal(after) {
                if is_said(&code[..here], &literal.text) {
                    found.push(literal.text);
                }
                found.extend(literal.put_in.into_iter().flat_map(phrases));
                literal.bytes
            } else {
                1
            };
    }
    found
}

fn is_said(before: &str, text: &str) -> bool {
    let behind = |marks: &[&str]| marks.iter().any(|mark| before.ends_with(mark));
    if behind(SAYS) {
        phrases::says_something(text)
    } else {
        !behind(COMPARES) && phrases::reads_as_words(text)
    }
}

/// A literal as it is read.
struct Literal<'a> {
    text: String,
    /// The expressions within it, which have literals of their own.
    put_in: Vec<&'a str>,
    bytes: usize,
}

/// The literal at the beginning of this code; a quotation mark without its partner begins none.
fn literal(code: &str) -> Option<Literal<'_>> {
    let quote = code.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let (mut text, mut put_in, mut at) = (String::new(), Vec::new(), 1);
    while let Some(c) = code[at..].chars().next() {
        at += c.len_utf8();
        match c {
            c if c == quote => return Some(Literal { text: phrases::unescape(&text), put_in, bytes: at }),
            '\n' if quote != '`' => return None,
            '\\' => {
                let escaped = code[at..].chars().next()?;
                text.extend([c, escaped]);
                at += escaped.len_utf8();
            }
            '$' if quote == '`' && code[at..].starts_with('{') => {
                let inside = &code[at + 1..];
                let expression = &inside[..closing_brace(inside)?];
                text.push('{');
                text.push_str(&template::name(expression));
                text.push('}');
                put_in.push(expression);
                at += expression.len() + 2;
            }
            c => text.push(c),
        }
    }
    None
}

/// Where an expression ends that was put in.
fn closing_brace(code: &str) -> Option<usize> {
    let mut depth = 0_usize;
    code.char_indices().find_map(|(at, c)| {
        match c {
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            '{' => depth += 1,
            _ => {}
        }
        None
    })
}
