//! Finds a credential's secrets in a tool's answer, as stored and as sent, and hides them: in texts that are kept, and
//! in bytes that are passed on while they come.
//!
//! One reader understands every textual form at once, character by character: raw, percent-encoded and
//! form-encoded, JSON-escaped, XML-escaped. Base64 has a needle for each of the three places a secret can
//! take within a group of three bytes, and each needle is looked for in all textual forms too.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use crate::target::push_component;

mod escape;
mod stream;

pub use stream::Mask;

use escape::read_char;

/// What stands in place of a secret.
const HIDDEN: &str = "[hidden]";
/// What stands in place of each byte of a secret in what is passed on.
const MASK: u8 = b'*';
/// A character in UTF-8.
const CHAR_BYTES_MAX: usize = 4;
/// Behind the Base64 of a secret: a character that holds some of its bits, and the padding.
const BASE64_BEHIND: usize = 3;
/// Shorter secrets are looked for as whole words only: within words they would tear texts apart, and the
/// holes would tell them.
const SEARCHED_CHARACTERS_MIN: usize = 4;
/// Lines of a secret of several lines, such as a private key, are hidden one by one from this length.
const LINE_CHARACTERS_MIN: usize = 8;

/// Knows the secrets of one credential in all their forms. Made once, it reads an answer in one pass.
pub struct Scrubber {
    needles: Vec<Needle>,
    /// For each byte: whether a needle can start with it, encoded or not.
    starts: [bool; 256],
}

/// Bytes that are searched.
#[derive(Clone, Copy)]
struct Text<'a> {
    /// What stands before them: as much as tells whether a word begins here.
    before: &'a [u8],
    bytes: &'a [u8],
    end: End,
}

/// What the end of a text means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// More comes.
    Open,
    /// More may have stood there.
    Cut,
    /// That is all of it.
    Whole,
}

/// What stands at a position.
enum Hit {
    /// A secret, here.
    At(Range<usize>),
    /// That is told by what comes.
    Undecided,
}

/// One text to look for.
struct Needle {
    text: Zeroizing<String>,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The secret itself.
    Plain,
    /// The secret itself, when it stands alone.
    Word,
    /// The Base64 characters that only the secret decides; `before` and `after` tell whether their neighbours
    /// hold some of its bits.
    Base64 { before: bool, after: bool },
}

/// Where a needle was found in a text.
enum Found {
    /// All of it, up to this position.
    Whole(usize),
    /// The text ended within it, or where it could go on.
    Cut,
}

/// Room for the positions that a needle reaches, used again for each try.
#[derive(Default)]
struct Positions {
    reached: Vec<usize>,
    next: Vec<usize>,
}

impl Text<'_> {
    /// The bytes before a position: as many as a character can have.
    fn last_before(self, at: usize) -> Vec<u8> {
        let own = &self.bytes[at.saturating_sub(CHAR_BYTES_MAX)..at];
        let before = self.before.len().saturating_sub(CHAR_BYTES_MAX - own.len());
        [&self.before[before..], own].concat()
    }
}

impl Scrubber {
    /// A scrubber for these secrets. Empty ones are ignored.
    pub fn new<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        let mut needles = Vec::new();
        for secret in secrets.filter(|secret| !secret.is_empty()) {
            if secret.chars().nth(SEARCHED_CHARACTERS_MIN - 1).is_none() {
                needles.push(Needle::new(secret, Form::Word));
                continue;
            }
            needles.push(Needle::new(secret, Form::Plain));
            needles.extend(base64_needles(secret.as_bytes()));
            let mut encoded = Zeroizing::new(String::new());
            push_component(&mut encoded, secret);
            if *encoded != *secret {
                needles.extend(base64_needles(encoded.as_bytes()));
            }
            let lines = secret.lines().map(str::trim).filter(|line| line.len() < secret.len());
            let long = lines.filter(|line| line.chars().nth(LINE_CHARACTERS_MIN - 1).is_some());
            needles.extend(long.map(|line| Needle::new(line, Form::Plain)));
        }
        let mut starts = [false; 256];
        for needle in &needles {
            for byte in needle.first_bytes() {
                starts[usize::from(byte)] = true;
            }
        }
        Self { needles, starts }
    }

    /// The text with every secret replaced by `[hidden]`. A secret that the end of the text cuts is hidden as
    /// well when at least four of its characters are there.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let hits = self.hits(text);
        if hits.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut shown = 0;
        for hit in hits {
            out.push_str(&text[shown..hit.start]);
            out.push_str(HIDDEN);
            shown = hit.end;
        }
        out.push_str(&text[shown..]);
        Cow::Owned(out)
    }

    /// The same for a text that is known to be whole: its last word is not taken for the start of a secret.
    pub fn scrub_whole(&self, text: &str) -> String {
        // A line end ends every secret that could begin before it.
        let ended = format!("{text}\n");
        let scrubbed = self.scrub(&ended);
        scrubbed.strip_suffix('\n').unwrap_or(&scrubbed).to_owned()
    }

    /// Bytes with every secret replaced by as many `*`, where there is one. They are whole: their end is not taken for
    /// the start of a secret.
    pub fn mask(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut hits = Vec::new();
        self.search(Text { before: &[], bytes, end: End::Whole }, &mut hits);
        (!hits.is_empty()).then(|| {
            let mut masked = bytes.to_vec();
            hits.into_iter().for_each(|hit| masked[hit].fill(MASK));
            masked
        })
    }

    /// Where secrets are, in order, with overlapping ones joined. The last of them may have been cut.
    fn hits(&self, text: &str) -> Vec<Range<usize>> {
        let mut hits = Vec::new();
        self.search(Text { before: &[], bytes: text.as_bytes(), end: End::Cut }, &mut hits);
        hits
    }

    /// Adds where secrets are. Gives the first position of which only what comes tells; that is the end of a text that
    /// is not open.
    fn search(&self, text: Text<'_>, hits: &mut Vec<Range<usize>>) -> usize {
        let mut positions = Positions::default();
        for (at, byte) in text.bytes.iter().enumerate() {
            if !self.starts[usize::from(*byte)] {
                continue;
            }
            for needle in self.needles.iter().filter(|needle| needle.can_start_with(*byte)) {
                match needle.hit(text, at, &mut positions) {
                    None => {}
                    Some(Hit::At(hit)) => join(hits, hit),
                    Some(Hit::Undecided) => return at,
                }
            }
        }
        text.bytes.len()
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubber(…)")
    }
}

impl Needle {
    fn new(text: &str, form: Form) -> Self {
        Self { text: Zeroizing::new(text.to_owned()), form }
    }

    /// The bytes an occurrence can start with: the first one raw, those that open an escape, and for line
    /// ends and the two alphabets of Base64 their other forms.
    fn first_bytes(&self) -> impl Iterator<Item = u8> + use<> {
        let first = self.text.as_bytes()[0];
        let other = match (first, self.form) {
            (b' ', Form::Plain | Form::Word) => b'+',
            (b'\n', Form::Plain | Form::Word) => b'\r',
            (b'+', Form::Base64 { .. }) => b'-',
            (b'/', Form::Base64 { .. }) => b'_',
            _ => first,
        };
        [first, other, b'%', b'\\', b'&'].into_iter()
    }

    fn can_start_with(&self, byte: u8) -> bool {
        self.first_bytes().any(|first| first == byte)
    }

    /// The range to hide when the needle starts here.
    fn hit(&self, text: Text<'_>, at: usize, positions: &mut Positions) -> Option<Hit> {
        let bytes = text.bytes;
        let open = text.end == End::Open;
        let end = match self.find(text, at, positions)? {
            Found::Cut if open => return Some(Hit::Undecided),
            Found::Cut => bytes.len(),
            Found::Whole(end) => end,
        };
        let rest = &bytes[end..];
        match self.form {
            Form::Plain => Some(Hit::At(at..end)),
            Form::Word if open && is_char_begun(rest) => Some(Hit::Undecided),
            Form::Word => {
                let alone = !ends_with_word(&text.last_before(at)) && !starts_with_word(rest);
                alone.then_some(Hit::At(at..end))
            }
            Form::Base64 { .. } if open && rest.len() < BASE64_BEHIND => Some(Hit::Undecided),
            Form::Base64 { before, after } => {
                let previous = at.checked_sub(1).filter(|at| before && is_base64(&bytes[*at]));
                let start = previous.unwrap_or(at);
                let end = end + usize::from(after && rest.first().is_some_and(is_base64));
                let padding = bytes[end..].iter().take(2).take_while(|byte| **byte == b'=').count();
                Some(Hit::At(start..end + padding))
            }
        }
    }

    /// Reads the needle from a position on. A character can have several readings of different lengths (`%25`
    /// is a percent sign, or three characters), so all positions that are reached are followed.
    fn find(&self, text: Text<'_>, at: usize, positions: &mut Positions) -> Option<Found> {
        let base64 = matches!(self.form, Form::Base64 { .. });
        let Positions { reached, next } = positions;
        reached.clear();
        reached.push(at);
        for (count, wanted) in self.text.chars().enumerate() {
            next.clear();
            for from in reached.iter() {
                let cut = read_char(text.bytes, *from, wanted, base64, next);
                // Of an escape that is cut its first character is there.
                let there = count + usize::from(*from < text.bytes.len());
                let counts = match text.end {
                    End::Open => true,
                    End::Cut => there >= SEARCHED_CHARACTERS_MIN && self.form != Form::Word,
                    End::Whole => false,
                };
                if cut && counts {
                    return Some(Found::Cut);
                }
            }
            if next.is_empty() {
                return None;
            }
            next.sort_unstable();
            next.dedup();
            std::mem::swap(reached, next);
        }
        reached.last().map(|end| Found::Whole(*end))
    }
}

fn is_base64(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(byte)
}

/// Whether a text ends with a letter or digit.
fn ends_with_word(text: &[u8]) -> bool {
    let last = (1..=CHAR_BYTES_MAX.min(text.len()))
        .find_map(|length| std::str::from_utf8(&text[text.len() - length..]).ok()?.chars().next());
    last.is_some_and(char::is_alphanumeric)
}

/// Whether a text starts with a letter or digit.
fn starts_with_word(text: &[u8]) -> bool {
    let first = (1..=CHAR_BYTES_MAX.min(text.len()))
        .find_map(|length| std::str::from_utf8(&text[..length]).ok()?.chars().next());
    first.is_some_and(char::is_alphanumeric)
}

/// Whether a text ends before its first character is known.
fn is_char_begun(text: &[u8]) -> bool {
    let known = text.len() >= CHAR_BYTES_MAX;
    !known
        && std::str::from_utf8(text)
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        || text.is_empty()
}

/// The Base64 characters that only the secret decides, for each number of bytes before it in its group of
/// three.
fn base64_needles(secret: &[u8]) -> impl Iterator<Item = Needle> {
    (0..3).map(|lead| {
        let mut bytes = Zeroizing::new(vec![0; lead]);
        bytes.extend_from_slice(secret);
        let encoded = Zeroizing::new(STANDARD_NO_PAD.encode(&*bytes));
        let (first, last) = ((lead * 8).div_ceil(6), bytes.len() * 8 / 6);
        let form = Form::Base64 { before: lead > 0, after: bytes.len() % 3 > 0 };
        Needle::new(&encoded[first..last], form)
    })
}

/// Adds a range, joined with those before it that it overlaps.
fn join(hits: &mut Vec<Range<usize>>, mut hit: Range<usize>) {
    while let Some(last) = hits.pop_if(|last| last.end > hit.start) {
        hit = last.start.min(hit.start)..last.end.max(hit.end);
    }
    hits.push(hit);
}

#[cfg(test)]
mod tests;
