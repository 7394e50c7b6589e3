//! A file as the rules see it: its text, and its code without comments and the insides of literals.

use std::path::Path;
use std::process::Command;

use crate::output;

/// One file of the repository.
pub(crate) struct Source {
    /// From the root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Rust files: the text with comments and the insides of literals blanked, byte for byte; else empty.
    pub(crate) code: String,
    /// The same without what is compiled for tests only.
    pub(crate) product: String,
    /// The code of the product, for rules to search.
    tight: Tight,
    /// The same with what is compiled for tests only.
    tight_with_tests: Tight,
}

/// Code without white space, except one space between two words, and the line of each of its bytes.
pub(crate) struct Tight {
    pub(crate) code: String,
    lines: Vec<usize>,
}

/// All files of the repository that are not ignored.
pub(crate) struct Tree {
    pub(crate) files: Vec<Source>,
}

impl Tree {
    /// Reads the files that git tracks, or would track.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
        let listed = output(Command::new("git").args(arguments).current_dir(root))?;
        let mut paths: Vec<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
        paths.sort_unstable();
        paths.dedup();
        // Pictures are no text, and a file that was deleted is still listed until it is committed.
        let read =
            |path: &&str| std::fs::read_to_string(root.join(path)).ok().map(|text| Source::new(path, text));
        Ok(Self { files: paths.iter().filter_map(read).collect() })
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|file| file.is_rust())
    }

    pub(crate) fn file(&self, path: &str) -> Option<&Source> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl Source {
    pub(crate) fn new(path: &str, text: String) -> Self {
        let code = if is_rust(path) { blank(&text) } else { String::new() };
        let product = blank_tests(&code);
        let tight = tighten(&product);
        let tight_with_tests = tighten(&code);
        Self { path: path.to_owned(), text, code, product, tight, tight_with_tests }
    }

    pub(crate) fn is_rust(&self) -> bool {
        is_rust(&self.path)
    }

    /// Whether the file is compiled for tests or benchmarks only.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.contains("/benches/") || self.path.ends_with("/tests.rs")
    }

    pub(crate) fn tight(&self) -> &Tight {
        &self.tight
    }

    pub(crate) fn tight_with_tests(&self) -> &Tight {
        &self.tight_with_tests
    }
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `words` stand in `text` without being part of a longer word.
pub(crate) fn positions<'a>(text: &'a str, words: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(words).map(|(position, _)| position).filter(move |&position| {
        let before = text[..position].chars().next_back();
        let after = text[position + words.len()..].chars().next();
        let starts_apart = !words.starts_with(is_word) || !before.is_some_and(is_word);
        let ends_apart = !words.ends_with(is_word) || !after.is_some_and(is_word);
        starts_apart && ends_apart
    })
}

/// The position of the bracket that closes the one at `open`.
pub(crate) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (position, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(position);
                }
            }
            _ => {}
        }
    }
    None
}

/// Blanks comments and the insides of literals, keeping every byte's place.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut position = 0;
    while position < bytes.len() {
        let (inside, end) = skipped(text, position);
        for byte in &mut code[inside] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        position = end;
    }
    // Only whole characters inside comments and literals were blanked.
    String::from_utf8(code).expect("blanking keeps UTF-8")
}

/// What is to be blanked at this place (nothing, in code), and where to go on.
fn skipped(text: &str, at: usize) -> (std::ops::Range<usize>, usize) {
    let rest = &text[at..];
    let after_word = text[..at].chars().next_back().is_some_and(is_word);
    let until = |end: &str, from: usize| rest[from..].find(end).map_or(text.len(), |found| at + from + found);
    if rest.starts_with("//") {
        let end = until("\n", 0);
        return (at..end, end);
    }
    if rest.starts_with("/*") {
        let end = at + block_comment(rest);
        return (at..end, end);
    }
    if !after_word && let Some(hashes) = raw_string(rest) {
        let open = rest.find('"').expect("a raw string has a quote") + 1;
        let end = until(&format!("\"{}", "#".repeat(hashes)), open);
        return (at + open..end, (end + 1 + hashes).min(text.len()));
    }
    if let Some(inside) = rest.strip_prefix('"') {
        let end = at + 1 + quoted(inside, '"');
        return (at + 1..end, (end + 1).min(text.len()));
    }
    if rest.starts_with('\'') && is_char(rest) {
        let end = at + 1 + quoted(&rest[1..], '\'');
        return (at + 1..end, (end + 1).min(text.len()));
    }
    (at..at, at + rest.chars().next().map_or(1, char::len_utf8))
}

/// The length of a comment, which may hold others.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut position = 0;
    while position < rest.len() {
        let here = &rest.as_bytes()[position..];
        if here.starts_with(b"/*") {
            depth += 1;
            position += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            position += 2;
            if depth == 0 {
                return position;
            }
        } else {
            position += 1;
        }
    }
    rest.len()
}

/// The number of `#` if a raw string starts here.
fn raw_string(rest: &str) -> Option<usize> {
    let after =
        rest.strip_prefix("br").or_else(|| rest.strip_prefix("cr")).or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.bytes().take_while(|byte| *byte == b'#').count();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// Whether a quote starts a character rather than a lifetime.
fn is_char(rest: &str) -> bool {
    let mut following = rest.chars().skip(1);
    match (following.next(), following.next()) {
        (Some('\\'), _) => true,
        (Some(_), Some(end)) => end == '\'',
        _ => false,
    }
}

/// The bytes up to the quote that ends a literal.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (position, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return position,
            _ => {}
        }
    }
    rest.len()
}

/// Blanks what is compiled for tests only and stands inside another file.
fn blank_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    for (start, attribute) in code.match_indices("#[cfg(test)]") {
        let after = start + attribute.len();
        let Some(body) = code[after..].find(['{', ';']).map(|found| after + found) else { continue };
        if code[body..].starts_with('{')
            && let Some(end) = closing(code, body)
        {
            let blank: String = code[body + 1..end].chars().map(blank_of).collect();
            kept.replace_range(body + 1..end, &blank);
        }
    }
    kept
}

/// A blank of as many bytes, so that nothing moves; letters beyond ASCII, rare in code, stay.
fn blank_of(c: char) -> char {
    if c == '\n' || c.len_utf8() > 1 { c } else { ' ' }
}

fn tighten(code: &str) -> Tight {
    let mut tight = Tight { code: String::with_capacity(code.len()), lines: Vec::with_capacity(code.len()) };
    let mut line = 1;
    let mut gap = false;
    for c in code.chars() {
        if c == '\n' {
            line += 1;
        }
        if c.is_whitespace() {
            gap = true;
            continue;
        }
        if gap && is_word(c) && tight.code.chars().next_back().is_some_and(is_word) {
            tight.push(' ', line);
        }
        gap = false;
        tight.push(c, line);
    }
    tight
}

impl Tight {
    /// The line, from 1, of a byte.
    pub(crate) fn line_at(&self, position: usize) -> usize {
        self.lines.get(position).copied().unwrap_or(1)
    }

    /// The lines on which these words stand, as words of their own.
    pub(crate) fn lines_of(&self, words: &str) -> Vec<usize> {
        positions(&self.code, words).map(|position| self.line_at(position)).collect()
    }

    fn push(&mut self, c: char, line: usize) {
        self.code.push(c);
        self.lines.extend(std::iter::repeat_n(line, c.len_utf8()));
    }
}
