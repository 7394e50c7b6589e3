//! Secrets in every form and place, and texts that have none.

use std::sync::Arc;

use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(secrets: &[&str], text: &str, expected: &str) {
    assert_eq!(Scrubber::new(secrets.iter().copied()).scrub(text), expected, "{secrets:?}");
}

#[test]
fn raw_and_encoded() {
    let secret = &["p&s \"w/ö%2+\\"];
    check(secret, "pw=p&s \"w/ö%2+\\!", "pw=[hidden]!");
    check(secret, "pw=p%26s%20%22w%2F%C3%B6%252%2B%5C!", "pw=[hidden]!");
    check(secret, "pw=p%26s+%22w%2f%c3%b6%252%2b%5c&x", "pw=[hidden]&x");
    check(secret, r#"{"pw":"p&s \"w/ö%2+\\"}"#, r#"{"pw":"[hidden]"}"#);
    check(secret, r#"{"pw":"p\u0026s \"w\/\u00F6%2\u002b\\"}"#, r#"{"pw":"[hidden]"}"#);
    check(secret, "<pw>p&amp;s &quot;w/&#246;%2+\\</pw>", "<pw>[hidden]</pw>");
    check(secret, "<pw>p&#38;s &#x22;w/&#xF6;%2+\\</pw>", "<pw>[hidden]</pw>");
    check(&["𝄞key"], r"a\ud834\udd1ekey", "a[hidden]");
    check(&["a%25b"], "a%25b a%2525b", "[hidden] [hidden]");
    check(&["%25%25%25%25"], &"%25".repeat(9), "[hidden]");
}

/// As .NET and others write it: what is not a letter or digit by its number.
fn json_by_number(text: &str) -> String {
    let units = text.encode_utf16().map(|unit| match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    });
    units.collect()
}

#[test]
fn json_within_json() {
    for secret in ["p\"w/d\\x\n\u{1}ö𝄞", "\\\\\\\\", "\"\"\"\"", "tail\\", "a/b/c"] {
        let slashes = |text: &str| json(text).replace('/', "\\/");
        let encoders: [&dyn Fn(&str) -> String; 3] = [&json, &slashes, &json_by_number];
        for first in encoders {
            let once = first(secret);
            for second in encoders {
                let twice = second(&once);
                let thrice = json(&twice);
                for text in [&once, &twice, &thrice] {
                    check(&[secret], &format!("<{text}>"), "<[hidden]>");
                }
            }
        }
    }
    // The tool's own error holds its log line, which holds the request.
    let request = serde_json::json!({ "password": "p\"w/ö\\x" }).to_string();
    let line = serde_json::json!({ "request": request }).to_string();
    let answer = serde_json::json!({ "error": line }).to_string();
    let scrubbed = Scrubber::new(["p\"w/ö\\x"].into_iter()).scrub(&answer).into_owned();
    assert!(scrubbed.contains(r#"\\\"[hidden]\\\""#), "{scrubbed}");
    // Base64 with its slashes and line ends escaped twice.
    check(&["??>>??>>??>>"], &json(&STANDARD.encode("??>>??>>??>>").replace('/', "\\/")), "[hidden]");
    let broken = STANDARD.encode("abcdefghijkl");
    check(&["abcdefghijkl"], &json(&json(&format!("{}\r\n{}", &broken[..7], &broken[7..]))), "[hidden]");
    // A text of backslashes alone is read in no more than linear time, and nothing is found in it.
    let many = "\\".repeat(1 << 16);
    check(&["p\"wö-secret"], &format!("{many}x"), &format!("{many}x"));
    // What only looks alike stays.
    check(&["p\"wx"], r#"p\\q"wx p\"w"#, r#"p\\q"wx p\"w"#);
}

#[test]
fn base64_in_every_alignment() {
    for user in ["", "a", "an", "ana", "ana.silva@example.org"] {
        let pair = format!("{user}:s3cret/+Pass");
        for encoded in [STANDARD.encode(&pair), URL_SAFE.encode(&pair), URL_SAFE_NO_PAD.encode(&pair)] {
            let scrubbed = Scrubber::new(["s3cret/+Pass"].into_iter())
                .scrub(&format!("Basic {encoded}, next"))
                .into_owned();
            assert!(scrubbed.ends_with("[hidden], next") && !scrubbed.contains("="), "{scrubbed}");
            let left = scrubbed.strip_prefix("Basic ").unwrap().split('[').next().unwrap();
            assert!(left.len() <= encoded.len() - 16, "{left} is left of {encoded}");
        }
    }
    // Broken into lines, with slashes escaped, and percent-encoded.
    let long = STANDARD.encode("x:??>>??>>??>>").replace('/', "\\/");
    check(&["??>>??>>??>>"], &format!("\"{long}\""), "\"eD[hidden]\"");
    let lines =
        format!("{}\r\n{}", &STANDARD.encode("abcdefghijkl")[..7], &STANDARD.encode("abcdefghijkl")[7..]);
    check(&["abcdefghijkl"], &lines, "[hidden]");
    check(
        &["??>>??>>??>>"],
        &STANDARD.encode("??>>??>>??>>").replace('/', "%2F").replace('+', "%2b"),
        "[hidden]",
    );
    // As OAuth sends it: form-encoded, then Base64.
    let sent = STANDARD.encode("client:p%26s%2Fw");
    assert!(Scrubber::new(["p&s/w"].into_iter()).scrub(&sent).contains(HIDDEN));
}

#[test]
fn several_and_overlapping() {
    check(&["abcd", "cdefgh"], "xabcdefghx", "x[hidden]x");
    check(&["aaaa"], "aaaaaaa b", "[hidden] b");
    check(&["first-secret", "second-secret"], "second-secret first-secret.", "[hidden] [hidden].");
    check(&["", "abcd"], "abcde", "[hidden]e");
    check(&[], "anything", "anything");
}

#[test]
fn short_secrets_are_words() {
    check(&["abc"], "abc \"abc\" xabc abcd (abc)", "[hidden] \"[hidden]\" xabc abcd ([hidden])");
    check(&["7"], "code 7, 77", "code [hidden], 77");
}

#[test]
fn lines_of_a_key() {
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIH\nshort\n-----END PRIVATE KEY-----\n";
    check(&[key], &format!("key: {}", key.replace('\n', "\r\n")), "key: [hidden]");
    check(&[key], "line 2 is MC4CAQAwBQYDK2VwBCIEIH", "line 2 is [hidden]");
    check(&[key], "it is short", "it is short");
    check(&[key], &serde_json::to_string(key).unwrap(), "\"[hidden]\"");
}

#[test]
fn cut_at_the_end() {
    check(&["super-secret-token"], "token=super-sec", "token=[hidden]");
    check(&["super-secret-token"], "token=supe", "token=[hidden]");
    check(&["super-secret-token"], "token=sup", "token=sup");
    check(&["pass word"], "q=pass%2", "q=[hidden]");
    check(&["A0A&a&Aa00"], "x A0A&am", "x [hidden]");
    check(&["A0A&a&Aa00"], "x A0A", "x A0A");
    check(&["super-secret-token"], "super nice", "super nice");
}

#[test]
fn text_without_secrets_is_not_copied() {
    let scrubber = Scrubber::new(["super-secret-token", "another one"].into_iter());
    let text = r#"{"result":{"number":"INC0010001","short_description":"Device \"7\" is slow & old, 50%"}}"#;
    assert!(matches!(scrubber.scrub(text), Cow::Borrowed(_)));
    assert_eq!(format!("{scrubber:?}"), "Scrubber(…)");
    assert_eq!(scrubber.scrub("%%%\\\\\\&&&\n\n\n"), "%%%\\\\\\&&&\n\n\n");
}

/// Percent-encoding of all that `keep` does not keep.
fn percent(text: &str, upper: bool, keep: &str) -> String {
    let byte = |byte: u8| match char::from(byte) {
        c if c.is_ascii_alphanumeric() || keep.contains(c) => c.to_string(),
        _ if upper => format!("%{byte:02X}"),
        _ => format!("%{byte:02x}"),
    };
    text.bytes().map(byte).collect()
}

fn json_ascii(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

fn xml(text: &str) -> String {
    let names = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&apos;")];
    names.into_iter().fold(text.to_owned(), |text, (raw, name)| text.replace(raw, name))
}

/// Every form in which a secret is sent or echoed, by encoders that know nothing of the scrubber.
fn forms(secret: &str, user: &str) -> Vec<String> {
    let pair = format!("{user}:{secret}");
    let mut forms = vec![
        secret.to_owned(),
        json(secret),
        json(secret).replace('/', "\\/"),
        json_ascii(secret),
        json_ascii(secret).to_uppercase().replace("\\U", "\\u"),
        json(&json(secret)),
        json(&json_ascii(secret)),
        json(&json(secret).replace('/', "\\/")).replace('/', "\\/"),
        json(&json(&json(secret))),
        xml(secret),
        secret.chars().map(|c| format!("&#{};", u32::from(c))).collect(),
        percent(secret, true, "-._~"),
        percent(secret, false, "-._~"),
        percent(secret, true, "-._~!'()*"),
        percent(secret, false, ""),
        percent(secret, true, "*-._ ").replace(' ', "+"),
    ];
    for text in [secret, &pair, &format!("{pair}!!")] {
        forms.extend([
            STANDARD.encode(text),
            STANDARD_NO_PAD.encode(text),
            URL_SAFE.encode(text),
            URL_SAFE_NO_PAD.encode(text),
        ]);
    }
    forms
}

fn any_secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9._~+/=-]{4,40}",
        "[ -~]{4,24}",
        "[%&\\\\\"'<>+ 25u/]{4,12}",
        "\\PC{4,12}",
        "[a-z\n\r]{4,20}"
    ]
}

proptest! {
    #[test]
    fn no_form_of_a_secret_is_left(
        secret in any_secret(),
        user in "[a-z.@]{0,6}",
        before in "[ -~]{0,12}|\\PC{0,6}",
        after in "[ -~]{0,12}|\\PC{0,6}",
    ) {
        let scrubber = Scrubber::new([secret.as_str()].into_iter());
        for form in forms(&secret, &user) {
            let scrubbed = scrubber.scrub(&format!("{before} {form} {after}")).into_owned();
            prop_assert!(scrubbed.contains(HIDDEN), "{form} was not found");
            for piece in scrubbed.split(HIDDEN) {
                prop_assert!(!piece.contains(&secret), "{piece:?} has the secret");
                prop_assert!(!piece.contains(&form), "{piece:?} has {form}");
                prop_assert!(!piece.contains(&URL_SAFE_NO_PAD.encode(&secret)));
            }
        }
    }

    #[test]
    fn a_text_may_be_cut_anywhere(
        secret in "[A-Za-z0-9\"&%]{8,20}",
        before in "[ -.]{0,5}",
        cut in any::<prop::sample::Index>(),
    ) {
        let scrubber = Scrubber::new([secret.as_str()].into_iter());
        for form in [secret.clone(), json(&secret), xml(&secret), percent(&secret, true, "")] {
            let whole = format!("{before}{form}");
            let scrubbed = scrubber.scrub(&whole[..cut.index(whole.len() + 1)]).into_owned();
            for piece in scrubbed.split(HIDDEN) {
                prop_assert!(!piece.contains(&secret[..5]), "{piece:?}");
            }
        }
    }

    #[test]
    fn any_text_can_be_scrubbed(
        secrets in prop::collection::vec(any::<String>(), 0..4),
        text in any::<String>(),
    ) {
        let scrubbed = Scrubber::new(secrets.iter().map(String::as_str)).scrub(&text).into_owned();
        for secret in secrets.iter().filter(|secret| secret.chars().count() >= 4) {
            prop_assert!(scrubbed.split(HIDDEN).all(|piece| !piece.contains(secret.as_str())));
        }
    }
}

#[test]
fn a_whole_text_ends_with_its_own_words() {
    let scrubber = Scrubber::new(["client secret"].into_iter());
    assert_eq!(scrubber.scrub("invalid_client"), "invalid_[hidden]", "it may have been cut");
    assert_eq!(scrubber.scrub_whole("invalid_client"), "invalid_client");
    assert_eq!(scrubber.scrub_whole("no client+secret"), "no [hidden]");
    assert_eq!(scrubber.scrub_whole(""), "");
    let lines = Scrubber::new(["two\n"].into_iter());
    assert_eq!(lines.scrub_whole("one two"), "one [hidden]");
}

/// A text as it leaves when it comes in these pieces, and the most bytes that were held back at one time.
fn masked(scrubber: &Arc<Scrubber>, pieces: &[&[u8]]) -> (Vec<u8>, usize) {
    let mut mask = Mask::new(scrubber.clone());
    let (mut given, mut taken, mut held_max) = (Vec::new(), 0, 0);
    for piece in pieces {
        taken += piece.len();
        given.extend_from_slice(&mask.push(Bytes::copy_from_slice(piece)));
        held_max = held_max.max(taken - given.len());
    }
    given.extend_from_slice(&mask.finish());
    (given, held_max)
}

/// The same text, masked all at once.
fn masked_whole(scrubber: &Scrubber, text: &[u8]) -> Vec<u8> {
    let mut hits = Vec::new();
    scrubber.search(Text { before: &[], bytes: text, end: End::Cut }, &mut hits);
    let mut masked = text.to_vec();
    hits.into_iter().for_each(|hit| masked[hit].fill(b'*'));
    masked
}

/// However a text is split in two, and when it comes byte by byte, it leaves as it does whole.
fn check_splits(scrubber: &Arc<Scrubber>, text: &[u8]) {
    let whole = masked_whole(scrubber, text);
    assert_eq!(whole.len(), text.len());
    for at in 0..=text.len() {
        let (split, _) = masked(scrubber, &[&text[..at], &text[at..]]);
        assert_eq!(split, whole, "{text:?} split at {at}");
    }
    let bytes: Vec<_> = text.chunks(1).collect();
    assert_eq!(masked(scrubber, &bytes).0, whole, "{text:?} byte by byte");
}

fn scrubber(secrets: &[&str]) -> Arc<Scrubber> {
    Arc::new(Scrubber::new(secrets.iter().copied()))
}

#[test]
fn what_is_passed_on_keeps_its_length() {
    let known = scrubber(&["super-secret", "abc"]);
    let text = b"\xff\xfe token=super-secret, word abc, wordabc";
    let (given, _) = masked(&known, &[text]);
    assert_eq!(given, b"\xff\xfe token=************, word ***, wordabc");
    assert_eq!(known.mask(b"Bearer super-secret").as_deref(), Some(&b"Bearer ************"[..]));
    assert_eq!(known.mask(b"Bearer super-sec"), None, "a header is whole");
    let mut mask = Mask::new(known);
    assert_eq!((mask.push(Bytes::from_static(b"super-")).len(), mask.has_hidden()), (0, false));
    assert_eq!(mask.push(Bytes::from_static(b"secret and more\n")), "************ and more\n");
    assert!(mask.has_hidden());
    assert_eq!(mask.push(Bytes::from_static(b"super-man\n")), "super-man\n");
    assert_eq!(mask.finish(), "");
}

#[test]
fn nothing_but_the_start_of_a_secret_is_held_back() {
    let known = scrubber(&["super-secret-token"]);
    let rows: &[(&str, &str)] = &[
        ("data: 1\n\n", ""),
        ("data: sup", "sup"),
        ("{\"text\":\"a\\nb\"}\n", ""),
        ("C:\\use ", ""),
        ("C:\\u00", "\\u00"),
        ("R&D team\n", ""),
        ("100% sure\n", ""),
        ("50%\n", ""),
        ("x &am", "&am"),
        ("super-secret-toke", "super-secret-toke"),
        ("super-secret-tokem ", ""),
        // The character before could hold some bits of a secret in Base64.
        ("word", "d"),
        ("AT&T", "T"),
    ];
    for (text, held) in rows {
        let mut mask = Mask::new(known.clone());
        let given = mask.push(Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(given, text[..text.len() - held.len()], "{text:?}");
        assert_eq!([&given[..], &mask.finish()[..]].concat().len(), text.len());
    }
}

#[test]
fn what_is_held_back_is_bounded() {
    let known = scrubber(&["sécret-𝄞-with\nlines and more of it"]);
    for byte in [&b"\\"[..], b"s", b"%", b"&", b"\\u005c", b"%73"] {
        let text = byte.repeat(20_000);
        let (given, held_max) = masked(&known, &text.chunks(1_000).collect::<Vec<_>>());
        assert_eq!(given, text);
        assert!(held_max <= 1_100, "{held_max} bytes of {byte:?} were held");
    }
}

#[test]
fn forms_are_found_across_every_split() {
    for secret in ["p&s \"w/ö%2+\\", "𝄞key", "%25%25%25%25", "line\none\r\ntwo", "abc", "s3cret/+Pass??>>"]
    {
        let known = scrubber(&[secret]);
        for form in forms(secret, "ana") {
            let text = format!("<{form}, {form}= {form}");
            check_splits(&known, text.as_bytes());
            if secret.chars().count() >= SEARCHED_CHARACTERS_MIN {
                let (given, _) = masked(&known, &text.as_bytes().chunks(3).collect::<Vec<_>>());
                assert!(given.contains(&b'*'), "{form} was not found");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_text_leaves_as_it_does_whole(
        secrets in prop::collection::vec(any_secret(), 1..3),
        user in "[a-z.@]{0,4}",
        which in any::<prop::sample::Index>(),
        before in "[ -~]{0,8}|\\PC{0,4}|[%&\\\\u0+5c=A\r\n]{0,12}",
        after in "[ -~]{0,8}|\\PC{0,4}|[%&\\\\u0+5c=A\r\n]{0,12}",
        end in any::<prop::sample::Index>(),
    ) {
        let known = Arc::new(Scrubber::new(secrets.iter().map(String::as_str)));
        let forms = forms(&secrets[0], &user);
        let form = &forms[which.index(forms.len())];
        let text = format!("{before}{form}{after}");
        check_splits(&known, text.as_bytes());
        check_splits(&known, &text.as_bytes()[..end.index(text.len() + 1)]);
    }

    #[test]
    fn bytes_that_are_no_text_leave_as_they_do_whole(
        secret in "[%&\\\\u0+5c=Aé]{3,8}",
        pieces in prop::collection::vec("[%&\\\\u0+5c=Aé]{0,6}", 1..8),
        noise in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let known = Arc::new(Scrubber::new([secret.as_str()].into_iter()));
        let mut text: Vec<u8> = noise.clone();
        for piece in &pieces {
            text.extend_from_slice(piece.as_bytes());
        }
        text.extend_from_slice(secret.as_bytes());
        text.extend_from_slice(&noise);
        check_splits(&known, &text);
    }
}
