//! The names of files: a pattern such as `{exporter}-{date}-{run}.{ext}`, and what no name may be.

use jiff::civil::DateTime;

use crate::catalog::Fault;

/// Servers take 255 bytes; the temporary name has 30 more than the final one.
const NAME_BYTES_MAX: usize = 200;
/// Of the name of an exporter no more than this stands in the name of a file.
const EXPORTER_BYTES_MAX: usize = 80;
const PLACEHOLDERS: &[&str] = &["date", "time", "datetime", "run", "exporter", "n", "ext"];

/// A pattern for the names of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(String);

/// The values of one run that stand for the placeholders.
#[derive(Clone, Debug)]
pub struct Stamp {
    exporter: String,
    run: i64,
    at: DateTime,
    extension: String,
}

impl Stamp {
    /// Of a run with this number at this time of the exporter's wall clock.
    pub(super) fn new(exporter: &str, run: i64, at: DateTime, extension: &str) -> Self {
        Self { exporter: plain(exporter), run, at, extension: extension.to_owned() }
    }

    /// Fills in a text; `n` is the number of a file among those of one name, from 1.
    pub fn fill(&self, text: &str, n: u32) -> String {
        let mut filled = String::with_capacity(text.len() + 32);
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let known = after.split_once('}').filter(|(name, _)| PLACEHOLDERS.contains(name));
            match known {
                Some((name, after)) => {
                    filled.push_str(&self.value(name, n));
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled.push_str(rest);
        filled
    }

    fn value(&self, name: &str, n: u32) -> String {
        let date = self.at.strftime("%Y-%m-%d");
        let time = self.at.strftime("%H%M%S");
        match name {
            "date" => date.to_string(),
            "time" => time.to_string(),
            "datetime" => format!("{date}-{time}"),
            "run" => format!("{:04}", self.run),
            "exporter" => self.exporter.clone(),
            "n" => n.to_string(),
            _ => self.extension.clone(),
        }
    }
}

impl FileName {
    /// The pattern of a new exporter.
    pub const DEFAULT: &'static str = "{exporter}-{date}-{run}.{ext}";

    /// Reads a pattern.
    ///
    /// # Errors
    /// `bad_characters`, `bad_form`, `too_long`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        let text = if text.is_empty() { Self::DEFAULT } else { text };
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let opened = rest[at..].strip_prefix('{').and_then(|opened| opened.split_once('}'));
            let Some((_, after)) = opened.filter(|(name, _)| PLACEHOLDERS.contains(name)) else {
                let known: Vec<_> = PLACEHOLDERS.iter().map(|name| format!("{{{name}}}")).collect();
                let sentence = format!("File name may hold {} and no other braces", known.join(" "));
                return Err(Fault::new("bad_form", sentence));
            };
            rest = after;
        }
        // Judged as it will be at its longest.
        let longest = Stamp {
            exporter: "x".repeat(EXPORTER_BYTES_MAX),
            run: 99_999_999,
            at: DateTime::constant(2026, 11, 22, 23, 59, 59, 0),
            extension: "ndjson.zst".to_owned(),
        };
        judge(&longest.fill(text, 999))?;
        Ok(Self(text.to_owned()))
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a file; from the second of a name on it has a number.
    pub fn of(&self, stamp: &Stamp, n: u32) -> String {
        let name = stamp.fill(&self.0, n);
        if n < 2 || self.0.contains("{n}") {
            return name;
        }
        let extension = format!(".{}", stamp.extension);
        match name.strip_suffix(&extension) {
            Some(stem) => format!("{stem}-{n}{extension}"),
            None => format!("{name}-{n}"),
        }
    }
}

/// Judges a finished name: one component, that no program takes for an option, a home or a hidden file.
///
/// # Errors
/// `bad_characters`, `too_long`.
pub fn judge(name: &str) -> Result<(), Fault> {
    let refuse = |sentence: &str| Err(Fault::new("bad_characters", sentence));
    if name.is_empty() {
        return Err(Fault::new("missing", "Enter a file name"));
    }
    if name.contains(['/', '\\']) || name.starts_with('.') || name.contains("..") {
        return refuse("File name must not include / or start with a dot");
    }
    if name.starts_with(['-', '~']) {
        return refuse("File name must not start with - or ~");
    }
    if name.chars().any(|c| c.is_control() || is_unseen(c)) || name.trim() != name {
        return refuse("File name must not include line breaks, tabs or characters that cannot be seen");
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Fault::new("too_long", "File name must be 200 bytes or fewer"));
    }
    Ok(())
}

/// A finished name with a number before all that it ends with: `a.csv.gz` becomes `a-2.csv.gz`.
pub fn numbered(name: &str, n: u32) -> String {
    match name.split_once('.') {
        Some((stem, ending)) => format!("{stem}-{n}.{ending}"),
        None => format!("{name}-{n}"),
    }
}

/// Characters that change the direction of text or have no width: they make a name look like another one.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A name of an exporter as it may stand in the name of a file.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for c in name.chars().flat_map(char::to_lowercase) {
        if plain.len() + c.len_utf8() > EXPORTER_BYTES_MAX {
            break;
        }
        if c.is_alphanumeric() {
            plain.push(c);
        } else if !plain.is_empty() && !plain.ends_with('-') {
            plain.push('-');
        }
    }
    let plain = plain.trim_end_matches('-');
    if plain.is_empty() { "exporter".to_owned() } else { plain.to_owned() }
}
