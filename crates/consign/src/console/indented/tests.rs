use super::indented as within;
use super::*;

fn indented(text: &str) -> Cow<'_, str> {
    within(text, usize::MAX)
}

#[test]
fn json_gets_line_breaks_and_keeps_all_that_it_says() {
    let check = |text: &str, expected: &str| assert_eq!(indented(text), expected, "{text}");
    check("{\"b\":1,\"a\":[true,null]}", "{\n  \"b\": 1,\n  \"a\": [\n    true,\n    null\n  ]\n}");
    check(" { \"a\" :\n[ ] , \"b\":{\t} }\n", "{\n  \"a\": [],\n  \"b\": {}\n}");
    // Marks within a text are no marks.
    check(
        r#"{"a":"{\"b\": [1,2]}\\","c":"é – 1"}"#,
        "{\n  \"a\": \"{\\\"b\\\": [1,2]}\\\\\",\n  \"c\": \"é – 1\"\n}",
    );
    // Neither rounded nor put together.
    check("[1.10,12345678901234567890123,1e3]", "[\n  1.10,\n  12345678901234567890123,\n  1e3\n]");
    check("{\"a\":1,\"a\":2}", "{\n  \"a\": 1,\n  \"a\": 2\n}");
}

#[test]
fn what_is_no_json_with_parts_stays_as_it_is() {
    for text in ["", "1.00", "\"a\"", "a,b\n1,2", "<a/>", "{\"a\":1", "{} {}", "[1,]", &"[".repeat(100_000)] {
        assert_eq!(indented(text), text);
    }
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    assert_eq!(indented(&deep), deep);
}

#[test]
fn it_ends_where_nobody_reads_on() {
    let text = format!("{}{}{}", "[".repeat(100), "0,".repeat(10_000) + "0", "]".repeat(100));
    let shown = within(&text, 20_000);
    assert!(
        indented(&text).starts_with(&*shown) && (20_000..21_000).contains(&shown.len()),
        "{}",
        shown.len()
    );
}

#[test]
fn it_says_the_same_as_before() {
    let text = r#"{"a":[{"b":"c, {d}: \"e\""},[],[[1,-2.5]],""],"f":{},"g":"\u00e9\\"}"#;
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(read(&indented(text)), read(text));
    assert_eq!(indented(text), serde_json::to_string_pretty(&read(text)).unwrap().replace('é', "\\u00e9"));
}
