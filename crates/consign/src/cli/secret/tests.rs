use super::*;

fn check(argument: &str, expected: Option<(&str, Origin)>) {
    let expected = expected.map(|(field, origin)| (field.to_owned(), origin));
    assert_eq!(parse(argument).ok(), expected, "{argument}");
}

#[test]
fn sources_of_secrets() {
    check("client_secret=@secrets/sn", Some(("client_secret", Origin::File("secrets/sn".to_owned()))));
    check("token=env:TOKEN", Some(("token", Origin::Variable("TOKEN".to_owned()))));
    check("token=-", Some(("token", Origin::Input)));
    check("token=prompt", Some(("token", Origin::Prompt)));
    check("token=@a=b", Some(("token", Origin::File("a=b".to_owned()))));
    for argument in ["token=abc123", "token=", "token=@", "token=env:", "=@file", "abc123"] {
        check(argument, None);
    }
}

#[test]
fn a_literal_is_refused_and_not_repeated() {
    let failure = parse("token=canary").unwrap_err();
    assert_eq!(failure.code, Code::Usage);
    assert_eq!(
        failure.lines,
        [
            "A secret on the command line can be read by other users of this machine.",
            "Use token=@file, token=env:VAR or token=- (standard input)",
        ]
    );
    assert!(!format!("{:?}", parse("canary").unwrap_err()).contains("canary"));
}

#[test]
fn one_line_break_at_the_end_goes() {
    for (text, expected) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\n", "")] {
        assert_eq!(without_line_break(text.to_owned()), expected);
    }
}
