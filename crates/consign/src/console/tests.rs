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

/// The colours of the style sheet, in light and in dark.
fn tokens() -> Vec<(String, [[u8; 3]; 2])> {
    let sheet = asset("consign.css");
    let colour = |text: &str| {
        let digits = text.trim().strip_prefix('#').unwrap();
        [0, 2, 4].map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
    };
    let line = |line: &str| {
        let (name, value) = line.trim().strip_prefix("--")?.split_once(": light-dark(")?;
        let (light, dark) = value.strip_suffix(");")?.split_once(',')?;
        light.starts_with('#').then(|| (name.to_owned(), [colour(light), colour(dark)]))
    };
    // The first of a name counts: those further down are for people who prefer more contrast.
    sheet.lines().filter_map(line).collect()
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

#[test]
fn every_pair_of_colours_can_be_read() {
    let tokens = tokens();
    let of = |name: &str| {
        let found = tokens.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("there is no --{name}")).1
    };
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
    for (text, ground, least) in pairs {
        for (place, scheme) in ["light", "dark"].into_iter().enumerate() {
            let ratio = contrast(of(text)[place], of(ground)[place]);
            assert!(ratio >= least, "--{text} on --{ground} in {scheme}: {ratio:.2}, needed {least}");
        }
    }
    // The formula is the one of WCAG.
    assert!((contrast([0, 0, 0], [255, 255, 255]) - 21.0).abs() < 1e-9);
    assert!((contrast(of("text")[0], of("bg")[0]) - 14.93).abs() < 0.01);
    assert!((contrast(of("text-3")[1], of("sunken")[1]) - 5.85).abs() < 0.01);
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
