//! JSON as a person reads it: with line breaks, and each name, number and text as it was written.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

use serde_json::Value;

const INDENT: &str = "  ";

/// The same text with line breaks when it is JSON that has parts; as it is otherwise. It ends after `bytes_max` bytes:
/// line breaks can make very much of little, and nobody reads on.
pub(super) fn indented(text: &str, bytes_max: usize) -> Cow<'_, str> {
    let has_parts = text.trim_start().starts_with(['{', '[']);
    // It is read to be sure, which also bounds how deep its parts lie. What it says would be rounded.
    if !has_parts || serde_json::from_str::<Value>(text).is_err() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text.chars().peekable();
    let mut depth = 0_usize;
    while out.len() <= bytes_max
        && let Some(c) = rest.next()
    {
        match c {
            '"' => copy_text(&mut rest, &mut out),
            '{' | '[' => {
                out.push(c);
                while rest.next_if(char::is_ascii_whitespace).is_some() {}
                match rest.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A text or a name, up to the quote that ends it.
fn copy_text(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('"');
    let mut escaped = false;
    for c in rest.by_ref() {
        out.push(c);
        if c == '"' && !escaped {
            return;
        }
        escaped = c == '\\' && !escaped;
    }
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n(INDENT, depth));
}

#[cfg(test)]
mod tests;
