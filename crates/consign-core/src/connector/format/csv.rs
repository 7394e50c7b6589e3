//! Comma-separated values (RFC 4180), UTF-8, with a guard against formulas.
//!
//! A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@`, and some pass over what cannot be seen before it or take
//! the full-width forms. The guard writes a `'` before such a text; a number is never one.

use std::borrow::Cow;

use serde_json::Value;

use super::{Column, Record};

/// How rows are written.
#[derive(Clone, Debug)]
pub struct Csv {
    /// The cells of a row; never empty.
    pub columns: Vec<Column>,
    /// What stands between cells.
    pub delimiter: Delimiter,
    /// Whether the first row holds the headings.
    pub header: bool,
    /// How a row ends.
    pub line_end: LineEnd,
    /// Whether a byte order mark comes first.
    pub bom: bool,
    /// Whether texts that a spreadsheet would run are guarded.
    pub guard: bool,
}

/// What stands between cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiter {
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// A tab.
    Tab,
}

impl Delimiter {
    /// Words, in screen order.
    pub const ALL: &'static [(&'static str, Self)] =
        &[("comma", Self::Comma), ("semicolon", Self::Semicolon), ("tab", Self::Tab)];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Comma => "comma",
            Self::Semicolon => "semicolon",
            Self::Tab => "tab",
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
        }
    }
}

/// How a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// A line feed.
    Lf,
    /// Carriage return and line feed, as RFC 4180 has it.
    Crlf,
}

impl LineEnd {
    /// Words, in screen order.
    pub const ALL: &'static [(&'static str, Self)] = &[("lf", Self::Lf), ("crlf", Self::Crlf)];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Lf => "lf",
            Self::Crlf => "crlf",
        }
    }

    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::Crlf => b"\r\n",
        }
    }
}

/// What a formula begins with, and what a spreadsheet passes over before it.
const FORMULA_STARTS: &[char] =
    &['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\n', '\u{b}', '\u{c}', '\r', '\u{a0}'];

/// Whether a spreadsheet may run a text as a formula. Spaces before it are no protection: some take them away. Nor are
/// characters that nobody sees: at the beginning of a file the first is taken for its byte order mark.
pub fn is_formula(text: &str) -> bool {
    text.trim_start_matches(is_passed_over).starts_with(FORMULA_STARTS)
}

/// Spaces, the byte order mark, and characters of no width: joiners, marks of direction, soft hyphens.
fn is_passed_over(c: char) -> bool {
    matches!(
        c,
        ' ' | '\u{ad}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

impl Csv {
    pub(super) fn start(&self, out: &mut Vec<u8>) {
        if self.bom {
            out.extend_from_slice("\u{feff}".as_bytes());
        }
        if self.header {
            self.row(out, self.columns.iter().map(|column| (Cow::Borrowed(column.name.as_str()), true)));
        }
    }

    pub(super) fn push(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        let data = record.data();
        let cells = self.columns.iter().map(|column| {
            let found = column.path.find_in_record(record.event.as_ref(), &data);
            match found.as_deref().filter(|value| !value.is_null()).unwrap_or(&column.default) {
                Value::Null => (Cow::Borrowed(""), false),
                Value::String(text) => (Cow::Owned(text.clone()), true),
                scalar @ (Value::Bool(_) | Value::Number(_)) => (Cow::Owned(scalar.to_string()), false),
                whole @ (Value::Array(_) | Value::Object(_)) => (Cow::Owned(whole.to_string()), true),
            }
        });
        self.row(out, cells);
    }

    /// Cells, each with whether it is a text.
    fn row<'a>(&self, out: &mut Vec<u8>, cells: impl Iterator<Item = (Cow<'a, str>, bool)>) {
        // A row of one empty cell would be an empty line, which readers pass over.
        let single = self.columns.len() == 1;
        for (place, (text, is_text)) in cells.enumerate() {
            if place > 0 {
                out.push(self.delimiter.byte());
            }
            let guarded = self.guard && is_text && is_formula(&text);
            let quoted = text.bytes().any(|byte| {
                matches!(byte, b'"' | b'\r' | b'\n' | b',' | b';' | b'\t') || byte == self.delimiter.byte()
            }) || text.starts_with(' ')
                || text.ends_with(' ')
                || (single && text.is_empty());
            if quoted {
                out.push(b'"');
            }
            if guarded {
                out.push(b'\'');
            }
            if quoted {
                for byte in text.bytes() {
                    out.push(byte);
                    if byte == b'"' {
                        out.push(byte);
                    }
                }
                out.push(b'"');
            } else {
                out.extend_from_slice(text.as_bytes());
            }
        }
        out.extend_from_slice(self.line_end.bytes());
    }
}
