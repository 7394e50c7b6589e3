//! The words of a refusal.

use consign_core::address::Egress;
use consign_core::target::Origin;

use super::*;

#[track_caller]
fn check(rules: &[&str], address: &str, expected: &str) {
    let rules: Vec<_> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let egress = Egress::parse(&rules, false).unwrap();
    let origin = Origin::parse("Address", address).unwrap();
    let host = origin.host();
    let literal = host.literal();
    let blocked = match literal {
        Some(literal) => egress.judge(host, literal, origin.port()).unwrap_err(),
        None => egress.judge_name(host, origin.port()).unwrap_err(),
    };
    assert_eq!(no(&host.unicode(), literal, &blocked, false), expected);
}

#[test]
fn a_refusal_says_what_decides() {
    check(
        &[],
        "https://10.21.0.5/",
        "No. 10.21.0.5 is on a private network and no rule of egress.allow names it.",
    );
    check(
        &["10.0.0.0/8:443", "!10.21.0.0/16:443"],
        "https://10.21.0.5/",
        "No. The rule !10.21.0.0/16:443 of egress.allow closes 10.21.0.5.",
    );
    check(
        &["127.0.0.1:*"],
        "https://127.0.0.1/",
        "No. 127.0.0.1 is this computer itself. Rules open it only while egress.allow_loopback is true.",
    );
    check(&[], "https://erp/", "No. erp is a short name and no rule of egress.allow names it.");
    check(&[], "https://tool.example.org:25/", "No. Port 25 belongs to another protocol.");
}
