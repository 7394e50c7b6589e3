use std::collections::BTreeMap;
use std::io::Write as _;

use super::*;

#[test]
fn every_page_forbids_what_is_not_ours() {
    let mut response = Response::new(Body::empty());
    secure(&mut response);
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(
        header("content-security-policy"),
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("cross-origin-opener-policy"), "same-origin");
    assert_eq!(header("cache-control"), "no-store");
}

fn asset(name: &str) -> String {
    let path = format!("{}/src/console/assets/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// As many bytes as the body has that a browser gets.
fn gzipped(text: &str) -> usize {
    gzip::compressed(text).expect("it is written to memory").len()
}

#[test]
fn script_and_style_stay_within_their_budgets() {
    let (script, style) = (gzipped(&asset("consign.js")), gzipped(&asset("consign.css")));
    assert!(script <= 8 << 10, "the script has {script} bytes");
    assert!(style <= 20 << 10, "the style sheet has {style} bytes");
    // The measure is one: what repeats itself shrinks, and what does not does not.
    assert!(gzipped(&"abc".repeat(1_000)) < 100);
    let mut noise = Vec::new();
    for number in 0_u32..4_000 {
        write!(noise, "{:x}", number.wrapping_mul(2_654_435_761)).unwrap();
    }
    assert!(gzipped(&String::from_utf8(noise).unwrap()) > 10_000);
}

/// A colour in light and in dark, or what another token is.
#[derive(Clone, Debug)]
enum Token {
    Colours([[u8; 3]; 2]),
    Same(String),
}

type Tokens = BTreeMap<String, Token>;

/// The colours of the style sheet: the usual ones, and what of them is another for people who prefer more contrast.
fn tokens() -> (Tokens, Tokens) {
    let sheet = asset("consign.css");
    let (usual, rest) = sheet.split_once("@media (prefers-contrast: more) {").expect("more contrast");
    let (more, _) = rest.split_once("/* Ground */").expect("the tokens end where the rules begin");
    (usual.lines().filter_map(token).collect(), more.lines().filter_map(token).collect())
}

fn token(line: &str) -> Option<(String, Token)> {
    let colour = |text: &str| {
        let digits = text.trim().strip_prefix('#').unwrap();
        [0, 2, 4].map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
    };
    let (name, value) = line.trim().strip_prefix("--")?.strip_suffix(';')?.split_once(": ")?;
    if let Some(other) = value.strip_prefix("var(--") {
        return Some((name.to_owned(), Token::Same(other.strip_suffix(')')?.to_owned())));
    }
    let (light, dark) = value.strip_prefix("light-dark(")?.strip_suffix(')')?.split_once(',')?;
    light.starts_with('#').then(|| (name.to_owned(), Token::Colours([colour(light), colour(dark)])))
}

/// What a token is in light and in dark.
fn colours(tokens: &Tokens, name: &str) -> [[u8; 3]; 2] {
    let mut at = name;
    // Each leads to another one at most once.
    for _ in 0..=tokens.len() {
        match tokens.get(at).unwrap_or_else(|| panic!("there is no --{at}")) {
            Token::Colours(found) => return *found,
            Token::Same(other) => at = other,
        }
    }
    panic!("--{name} leads back to itself")
}

fn luminance(colour: [u8; 3]) -> f64 {
    let [red, green, blue] = colour.map(|channel| {
        let part = f64::from(channel) / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// WCAG 2, contrast ratio.
fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// Texts and lines, the grounds that they stand on, and the least contrast where more of it is preferred.
const MORE_CONTRAST: &[(&str, &[&str], f64)] = &[
    ("text", &["bg", "surface", "sunken"], 7.0),
    ("text-2", &["bg", "surface", "sunken"], 7.0),
    ("text-3", &["bg", "surface", "sunken"], 7.0),
    ("border", &["bg", "surface", "sunken"], 4.5),
    ("border-strong", &["bg", "surface", "sunken"], 4.5),
    ("rail-muted", &["rail", "rail-active"], 7.0),
    ("rail-text", &["rail", "rail-active"], 7.0),
];

#[test]
fn every_pair_of_colours_can_be_read() {
    let (usual, changed) = tokens();
    let mut more = usual.clone();
    more.extend(changed);
    let grounds = ["bg", "surface", "sunken"];
    let mut pairs: Vec<(&str, &str, f64)> = Vec::new();
    for ground in grounds {
        for text in ["text", "text-2", "text-3", "accent", "danger", "warning", "success", "info"] {
            pairs.push((text, ground, 4.5));
        }
        // Borders of fields, and bars.
        pairs.push(("border-strong", ground, 3.0));
    }
    for ground in ["bg", "surface"] {
        pairs.push(("accent-hover", ground, 4.5));
    }
    for kind in ["accent", "danger", "warning", "success", "info", "neutral"] {
        pairs.push((
            Box::leak(format!("{kind}-soft-text").into_boxed_str()),
            Box::leak(format!("{kind}-soft").into_boxed_str()),
            4.5,
        ));
    }
    for (text, ground) in [
        ("on-accent", "accent"),
        ("on-accent", "accent-hover"),
        ("on-danger", "danger"),
        ("on-danger", "danger-hover"),
        ("rail-text", "rail"),
        ("rail-text", "rail-active"),
        ("rail-muted", "rail"),
        ("rail-muted", "rail-active"),
        ("brass", "rail"),
        ("brass", "rail-active"),
    ] {
        pairs.push((text, ground, 4.5));
    }
    let ratio = |tokens: &Tokens, text: &str, ground: &str, place: usize| {
        contrast(colours(tokens, text)[place], colours(tokens, ground)[place])
    };
    for (place, scheme) in ["light", "dark"].into_iter().enumerate() {
        for (text, ground, least) in &pairs {
            let (found, with_more) = (ratio(&usual, text, ground, place), ratio(&more, text, ground, place));
            assert!(found >= *least, "--{text} on --{ground} in {scheme}: {found:.2}, needed {least}");
            assert!(with_more >= found, "--{text} on --{ground} in {scheme}: {with_more:.2} is less");
        }
        // What is meant for people who prefer more contrast: texts by the level AAA, and borders that can be seen.
        for (text, grounds, least) in MORE_CONTRAST {
            for ground in *grounds {
                let found = ratio(&more, text, ground, place);
                assert!(found >= *least, "more contrast, --{text} on --{ground} in {scheme}: {found:.2}");
            }
        }
    }
    // The formula is the one of WCAG.
    assert!((contrast([0, 0, 0], [255, 255, 255]) - 21.0).abs() < 1e-9);
    assert!((ratio(&usual, "text", "bg", 0) - 14.93).abs() < 0.01);
    assert!((ratio(&usual, "text-3", "sunken", 1) - 5.85).abs() < 0.01);
    assert!((ratio(&more, "text-3", "sunken", 1) - 8.54).abs() < 0.01);
    assert!((ratio(&more, "border", "bg", 0) - 14.93).abs() < 0.01, "it is what the text is");
}

#[test]
fn colours_come_from_tokens_alone() {
    let sheet = asset("consign.css");
    let (_, rules) = sheet.split_once("/* Ground */").expect("the tokens end where the rules begin");
    for (number, line) in rules.lines().enumerate() {
        let hexadecimal = line.split('#').skip(1).any(|rest| {
            let digits = rest.chars().take_while(char::is_ascii_hexdigit).count();
            let after = rest.chars().nth(digits);
            matches!(digits, 3 | 6) && !after.is_some_and(|c| c.is_alphanumeric() || c == '-')
        });
        assert!(!hexadecimal, "line {number} below the tokens: {line}");
    }
}
