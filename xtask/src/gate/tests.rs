//! What the command line asks for, and how times read.

use super::*;

fn parse(text: &str) -> Result<Wish, String> {
    let arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    Wish::parse(&arguments)
}

fn steps(text: &str) -> Vec<&'static str> {
    let wish = parse(text).unwrap();
    STEPS.iter().filter(|step| wish.wants(step)).map(|step| step.name).collect()
}

#[test]
fn all_steps_run_unless_some_are_named() {
    assert_eq!(steps(""), ["peers", "fmt", "tidy", "clippy", "doc", "deny", "tests"]);
    assert_eq!(steps("--advisories").len(), STEPS.len());
    assert_eq!(steps("--only tests --only fmt"), ["fmt", "tests"]);
}

#[test]
fn a_wrong_option_names_the_right_ones() {
    assert!(parse("--only").unwrap_err().contains("peers, fmt, tidy"));
    assert!(parse("--only lint").unwrap_err().contains("peers, fmt, tidy"));
    assert!(parse("--fast").unwrap_err().contains("`--fast`"));
}

#[test]
fn times_read_well() {
    for (millis, text) in [(40, "0.0 s"), (1_250, "1.2 s"), (59_999, "59.9 s"), (61_000, "1 min 01 s")] {
        assert_eq!(clock(Duration::from_millis(millis)), text);
    }
}

#[test]
fn some_tests_are_a_part_of_the_step() {
    let wish = parse("--tests test(oauth)").unwrap();
    assert_eq!(
        (wish.tests.as_deref(), wish.only.as_slice()),
        (Some("test(oauth)"), &["tests".to_owned()][..])
    );
    assert!(parse("--tests").unwrap_err().contains("needs a filter"));
}
