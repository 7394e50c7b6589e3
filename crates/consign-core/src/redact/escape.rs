//! The ways in which one character can stand in a text: raw, `%XX` and `+`, JSON escapes (also of JSON that is text in
//! JSON, where each level escapes the backslashes of the one within), XML references.

/// The backslashes in front of a character in JSON within JSON within JSON: 2³ − 1 before a quotation mark, 2³ for a
/// backslash.
const BACKSLASHES_MAX: u32 = 8;
/// The longest reference of XML that is read.
const XML_BYTES_MAX: usize = 16;

/// Adds every position behind an occurrence of `wanted` at `from`. True when the text ends before that can be
/// told: whatever stands behind it could add another position. In Base64 both alphabets are one, and a line end is
/// passed over.
pub(super) fn read_char(text: &[u8], from: usize, wanted: char, base64: bool, next: &mut Vec<usize>) -> bool {
    if !base64 {
        return read_forms(&text[from..], from, wanted, next);
    }
    let cut = is_line_end_begun(&text[from..]);
    let from = from + line_end(&text[from..]);
    let cut = read_forms(&text[from..], from, wanted, next) || cut;
    match wanted {
        '+' => read_forms(&text[from..], from, '-', next) || cut,
        '/' => read_forms(&text[from..], from, '_', next) || cut,
        _ => cut,
    }
}

fn read_forms(rest: &[u8], from: usize, wanted: char, next: &mut Vec<usize>) -> bool {
    let mut cut = false;
    let mut add = |length: Read| match length {
        Read::Bytes(length) => next.push(from + length),
        Read::Cut => cut = true,
        Read::Other => {}
    };
    let Some(first) = rest.first() else { return true };
    add(utf8(rest, wanted));
    match first {
        // An escape of it that the text cuts reads like a raw one.
        b'%' if wanted == '%' && is_percent_begun(rest) => add(Read::Cut),
        b'%' if wanted == '%' => add(Read::Bytes(1)),
        b'+' if wanted == ' ' => add(Read::Bytes(1)),
        b'\\' => json(rest, wanted, &mut add),
        b'&' => add(xml(rest, wanted)),
        b'\r' if wanted == '\n' => add(match rest.get(1) {
            Some(b'\n') => Read::Bytes(2),
            Some(_) => Read::Other,
            None => Read::Cut,
        }),
        _ => {}
    }
    cut
}

/// What a reading came to.
enum Read {
    /// The character, in this many bytes.
    Bytes(usize),
    /// The text ends within it.
    Cut,
    /// Something else.
    Other,
}

/// The bytes of the character, each raw or as `%XX`.
fn utf8(rest: &[u8], wanted: char) -> Read {
    let mut buffer = [0; 4];
    let mut at = 0;
    for byte in wanted.encode_utf8(&mut buffer).bytes() {
        match rest.get(at..) {
            None | Some([]) => return Read::Cut,
            Some([b'%', high, low, ..]) if hex(&[*high, *low]) == Some(u32::from(byte)) => at += 3,
            Some([first, ..]) if *first == byte => at += 1,
            Some(escape) if is_percent_begun(escape) => return Read::Cut,
            Some(_) => return Read::Other,
        }
    }
    Read::Bytes(at)
}

/// Whether a text is the start of `%XX`, and ends within it.
fn is_percent_begun(rest: &[u8]) -> bool {
    matches!(rest, [b'%', digits @ ..] if digits.len() < 2 && digits.iter().all(u8::is_ascii_hexdigit))
}

/// `\"`, `\/`, `\n`, and `\u0041` in either case, in pairs beyond the first plane; and each of them behind the
/// backslashes of further levels. How many there are is not judged: too much is hidden rather than too little.
fn json(rest: &[u8], wanted: char, add: &mut impl FnMut(Read)) {
    let mut at = 0;
    for count in 1..=BACKSLASHES_MAX {
        match backslash(&rest[at..]) {
            Read::Bytes(length) => at += length,
            Read::Cut => return add(Read::Cut),
            Read::Other => return,
        }
        if wanted == '\\' {
            if count.is_power_of_two() {
                add(Read::Bytes(at));
            }
            match json_units(&rest[at..], wanted) {
                Read::Bytes(length) => add(Read::Bytes(at + length)),
                Read::Cut => add(Read::Cut),
                Read::Other => {}
            }
        } else if let read @ (Read::Bytes(_) | Read::Cut) = escaped(&rest[at..], wanted) {
            return add(match read {
                Read::Bytes(length) => Read::Bytes(at + length),
                other => other,
            });
        }
    }
}

/// A backslash, raw or as `\u005c`.
fn backslash(rest: &[u8]) -> Read {
    match rest {
        [] => Read::Cut,
        [b'\\', b'u', digits @ ..] if digits.len() >= 4 && hex(&digits[..4]) == Some(0x5c) => Read::Bytes(6),
        [b'\\', ..] => Read::Bytes(1),
        _ => Read::Other,
    }
}

/// What stands behind a backslash.
fn escaped(rest: &[u8], wanted: char) -> Read {
    let short = match rest.first() {
        None => return Read::Cut,
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return json_units(rest, wanted),
        Some(byte) => char::from(*byte),
    };
    let escaped = short == wanted && !wanted.is_ascii_alphanumeric();
    if escaped { Read::Bytes(1) } else { Read::Other }
}

/// `u0041`; of a pair the second half has its own backslashes.
fn json_units(rest: &[u8], wanted: char) -> Read {
    let mut at = 0;
    for (index, unit) in wanted.encode_utf16(&mut [0; 2]).iter().enumerate() {
        if index > 0 {
            let start = at;
            for _ in 0..BACKSLASHES_MAX {
                let Read::Bytes(length) = backslash(&rest[at..]) else { break };
                at += length;
            }
            if at == start && at < rest.len() {
                return Read::Other;
            }
        }
        let Some(escape) = rest.get(at..at + 5) else {
            return if is_unit_begun(&rest[at..]) { Read::Cut } else { Read::Other };
        };
        if escape[0] != b'u' || hex(&escape[1..]) != Some(u32::from(*unit)) {
            return Read::Other;
        }
        at += 5;
    }
    Read::Bytes(at)
}

/// Whether a text is the start of `u0041`, and ends within it. Digits of any value: they may become a backslash.
fn is_unit_begun(rest: &[u8]) -> bool {
    matches!(rest, [] | [b'u', ..] if rest.iter().skip(1).all(u8::is_ascii_hexdigit))
}

/// `&amp;` and its four siblings, `&#38;`, `&#x26;`.
fn xml(rest: &[u8], wanted: char) -> Read {
    // The longest reference is `&#x10FFFF;`, with room for leading zeros.
    let window = &rest[..rest.len().min(XML_BYTES_MAX)];
    let Some(end) = window.iter().position(|byte| *byte == b';') else {
        let begun = rest.len() < XML_BYTES_MAX && is_reference_begun(&rest[1..]);
        return if begun { Read::Cut } else { Read::Other };
    };
    let code = match &window[1..end] {
        b"amp" => Some(u32::from('&')),
        b"lt" => Some(u32::from('<')),
        b"gt" => Some(u32::from('>')),
        b"quot" => Some(u32::from('"')),
        b"apos" => Some(u32::from('\'')),
        [b'#', b'x' | b'X', digits @ ..] => hex(digits),
        [b'#', digits @ ..] => std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()),
        _ => None,
    };
    if code == Some(u32::from(wanted)) { Read::Bytes(end + 1) } else { Read::Other }
}

/// Whether what stands behind an ampersand is the start of a reference.
fn is_reference_begun(name: &[u8]) -> bool {
    match name {
        [b'#', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        [b'#', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => [&b"amp"[..], b"lt", b"gt", b"quot", b"apos"].iter().any(|known| known.starts_with(name)),
    }
}

/// Line ends, raw or escaped as JSON, once or twice.
const LINE_ENDS: [&[u8]; 6] = [b"\r\n", b"\n", b"\\r\\n", b"\\n", b"\\\\r\\\\n", b"\\\\n"];

/// The length of a line end.
fn line_end(rest: &[u8]) -> usize {
    LINE_ENDS.into_iter().find(|end| rest.starts_with(end)).map_or(0, <[u8]>::len)
}

/// Whether a text is the start of a line end, and ends within it.
fn is_line_end_begun(rest: &[u8]) -> bool {
    LINE_ENDS.into_iter().any(|end| end.len() > rest.len() && end.starts_with(rest))
}

fn hex(digits: &[u8]) -> Option<u32> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain)?;
    u32::from_str_radix(text, 16).ok()
}
