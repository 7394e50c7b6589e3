//! Which of operator, administrator and default decides.

use super::*;
use crate::config::Source;

fn chosen() -> SignInChoice {
    SignInChoice {
        local: Some(false),
        two_step_required: Some(true),
        two_step_since_ms: 5,
        session_hours: Some(8),
        idle_minutes: Some(10),
        ..SignInChoice::default()
    }
}

fn with_provider() -> Config {
    let mut config = Config::default();
    config.auth.oidc.issuer = Some("https://id.acme.example".to_owned());
    config
}

#[test]
fn what_an_administrator_chose_comes_before_the_default() {
    let rules = SignInRules::of(&with_provider(), &chosen());
    let expected =
        SignInRules { local: false, two_step_since: Some(Timestamp::from_millis(5)), hours: 8, minutes: 10 };
    assert_eq!(rules, expected);
    let default = SignInRules::of(&with_provider(), &SignInChoice::default());
    let expected = SignInRules { local: true, two_step_since: None, hours: 12, minutes: 30 };
    assert_eq!(default, expected);
}

#[test]
fn what_the_operator_set_comes_before_both() {
    let mut config = with_provider();
    for (_, option, _) in CHOICES {
        config.sources.insert(option, Source::File);
    }
    let expected = SignInRules { local: true, two_step_since: None, hours: 12, minutes: 30 };
    assert_eq!(SignInRules::of(&config, &chosen()), expected);
    config.auth.two_step_required = true;
    let rules = SignInRules::of(&config, &SignInChoice::default());
    assert_eq!(rules.two_step_since, Some(Timestamp::from_millis(0)));
}

#[test]
fn without_a_provider_passwords_are_the_way_in() {
    assert!(SignInRules::of(&Config::default(), &chosen()).local);
}

#[test]
fn a_second_choice_keeps_since_when_two_steps_are_required() {
    let choose = |required: bool, before: &SignInChoice, at: i64| {
        let wish = Wish { two_step_required: Some(Some(required)), ..Wish::default() };
        wish.over(before, &SignInRules::of(&Config::default(), before), Timestamp::from_millis(at))
    };
    let on = choose(true, &SignInChoice::default(), 7);
    assert_eq!(on.two_step_since_ms, 7);
    let again = choose(true, &on, 9);
    assert_eq!(again.two_step_since_ms, 7);
    let off = choose(false, &again, 11);
    assert_eq!(choose(true, &off, 13).two_step_since_ms, 13);
}

#[test]
fn what_is_sent_as_it_holds_is_no_choice() {
    let before = SignInChoice { idle_minutes: Some(10), ..SignInChoice::default() };
    let holds = SignInRules::of(&with_provider(), &before);
    let same = Wish {
        local: Some(Some(true)),
        two_step_required: Some(Some(false)),
        session_hours: Some(Some(12)),
        idle_minutes: Some(Some(10)),
    };
    assert_eq!(same.over(&before, &holds, Timestamp::from_millis(7)), before);
    let back = Wish { idle_minutes: Some(None), ..Wish::default() };
    assert_eq!(back.over(&before, &holds, Timestamp::from_millis(7)), SignInChoice::default());
}
