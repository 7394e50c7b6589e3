use clap::CommandFactory as _;

use super::*;

mod reference;

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn spans_of_time() {
    let check = |text: &str, seconds: Option<u64>| {
        assert_eq!(duration(text).ok(), seconds.map(Duration::from_secs), "{text}");
    };
    check("30", Some(30));
    check("30s", Some(30));
    check("2m", Some(120));
    check("1h", Some(3_600));
    for text in ["", "0", "s", "-1", "1d", "99999999999999999999h"] {
        check(text, None);
    }
}

#[test]
fn wrong_usage_has_exit_code_2_and_help_0() {
    let code = |line: &str| match Arguments::try_parse_from(line.split(' ')) {
        Ok(_) => None,
        Err(error) => Some(error.exit_code()),
    };
    assert_eq!(code("consign --help"), Some(0));
    assert_eq!(code("consign --version"), Some(0));
    assert_eq!(code("consign credentail list"), Some(2));
    assert_eq!(code("consign credential list --json"), None);
    assert_eq!(code("consign serve --config consign.toml --strict-key"), None);
    assert_eq!(code("consign demo --once"), None);
}

#[test]
fn a_secret_on_the_command_line_is_taken_as_text_so_that_no_message_repeats_it() {
    let line = "consign credential create --name x --secret token=canary";
    assert!(Arguments::try_parse_from(line.split(' ')).is_ok());
}

#[test]
fn shells_complete_every_command() {
    for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "consign", &mut script);
        let script = String::from_utf8(script).unwrap();
        for word in ["set-secret", "healthcheck", "accept-rollback", "retry-schedule-seconds"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}
