//! Phrases in a template: the texts between tags, the attributes that are read out, and literals in expressions.
//! What an expression puts in becomes a name in braces, as in a format string.

use super::phrases;

/// A piece of a template.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Html(&'a str),
    /// What is put in.
    Value(&'a str),
    /// What decides; a text does not go on across it.
    Block(&'a str),
}

/// The attributes that people read or hear.
const READ: &[&str] = &["title", "aria-label", "placeholder", "alt"];

/// The elements whose text is not prose.
const NOT_PROSE: &[&str] = &["script", "style"];

pub(super) fn phrases(text: &str) -> Vec<String> {
    let mut reader = Reader::default();
    for piece in pieces(text) {
        match piece {
            Piece::Html(html) => html.chars().for_each(|c| reader.read(c)),
            Piece::Value(code) => {
                reader.literals(code);
                reader.put_in(&name(code));
            }
            Piece::Block(code) => {
                reader.literals(code);
                reader.end_of_phrase();
            }
        }
    }
    reader.end_of_phrase();
    reader.found
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (kind, close) = match rest.as_bytes().get(open + 1) {
            Some(b'{') => ('{', "}}"),
            Some(b'%') => ('%', "%}"),
            Some(b'#') => ('#', "#}"),
            _ => {
                pieces.push(Piece::Html(&rest[..=open]));
                rest = &rest[open + 1..];
                continue;
            }
        };
        pieces.push(Piece::Html(&rest[..open]));
        let inside = &rest[open + 2..];
        let end = inside.find(close).unwrap_or(inside.len());
        let code = inside[..end].trim_matches('-').trim();
        match kind {
            '{' => pieces.push(Piece::Value(code)),
            '%' => pieces.push(Piece::Block(code)),
            _ => {}
        }
        rest = inside.get(end + 2..).unwrap_or_default();
    }
    pieces.push(Piece::Html(rest));
    pieces
}

/// What to call the value of an expression: its last plain name before a filter or an argument.
pub(super) fn name(code: &str) -> String {
    let path: String = code.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.')).collect();
    let last = path.rsplit('.').next().unwrap_or_default();
    if last.is_empty() { "value".to_owned() } else { last.to_owned() }
}

/// Where in the mark-up the reader is.
#[derive(Default)]
enum Place {
    #[default]
    Text,
    /// Inside a tag, with what was read of it.
    Tag(String),
    /// Inside the quotes of an attribute, whether it is read out, and the tag up to here.
    Attribute { read: bool, tag: String },
}

#[derive(Default)]
struct Reader {
    place: Place,
    /// The element whose text is skipped.
    skipping: Option<&'static str>,
    phrase: String,
    found: Vec<String>,
}

impl Reader {
    fn read(&mut self, c: char) {
        self.place = match std::mem::take(&mut self.place) {
            Place::Text if c == '<' => {
                self.end_of_phrase();
                Place::Tag(String::new())
            }
            Place::Text => {
                self.phrase.push(c);
                Place::Text
            }
            Place::Tag(tag) if c == '>' => {
                self.tag(&tag);
                Place::Text
            }
            Place::Tag(tag) if c == '"' => {
                let attribute =
                    tag.trim_end_matches('=').rsplit(char::is_whitespace).next().unwrap_or_default();
                Place::Attribute { read: READ.contains(&attribute), tag }
            }
            Place::Tag(mut tag) => {
                tag.push(c);
                Place::Tag(tag)
            }
            Place::Attribute { tag, .. } if c == '"' => {
                self.end_of_phrase();
                Place::Tag(tag)
            }
            Place::Attribute { read, tag } => {
                if read {
                    self.phrase.push(c);
                }
                Place::Attribute { read, tag }
            }
        }
    }

    /// A tag ended: `<script>` starts what is skipped, `</script>` ends it.
    fn tag(&mut self, tag: &str) {
        let element = tag.split(char::is_whitespace).next().unwrap_or_default();
        match self.skipping {
            Some(name) if element.strip_prefix('/') == Some(name) => self.skipping = None,
            Some(_) => {}
            None => self.skipping = NOT_PROSE.iter().copied().find(|name| *name == element),
        }
    }

    fn put_in(&mut self, name: &str) {
        if matches!(self.place, Place::Text | Place::Attribute { read: true, .. }) {
            self.phrase.push('{');
            self.phrase.push_str(name);
            self.phrase.push('}');
        }
    }

    fn literals(&mut self, code: &str) {
        self.found.extend(phrases::literals(code).into_iter().filter(|text| phrases::reads_as_words(text)));
        for counted in code.split("|count(").skip(1) {
            let arguments = counted.split(')').next().unwrap_or_default();
            self.found.extend(phrases::literals(arguments));
        }
    }

    fn end_of_phrase(&mut self) {
        let phrase = std::mem::take(&mut self.phrase);
        let plain = phrase.split_whitespace().collect::<Vec<_>>().join(" ");
        if self.skipping.is_none() && phrases::says_something(&plain) && !is_markup(&plain) {
            self.found.push(plain);
        }
    }
}

/// Whether an attribute was written in pieces, outside of its tag.
fn is_markup(phrase: &str) -> bool {
    phrase.contains("=\"")
}
