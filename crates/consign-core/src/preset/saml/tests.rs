use std::fmt::Write as _;

use super::super::tests::completed;
use super::*;
use crate::assertion::Ids;
use crate::auth::{self, Step};
use crate::catalog::Fields;
use crate::credential::{Change, Draft, Mode};
use crate::secret::Secret;
use crate::sign::SigningKey;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_795_356_120_000);

/// What goes to a consumer, all of it: address, header, form, assertion. RSA signatures are the same each time.
fn shape(preset: &Preset) -> String {
    let filling = preset.filling(SAML).unwrap();
    let draft = Draft::parse(completed(preset, filling), Mode::Create, NOW).unwrap();
    let mut fields = Fields { plain: draft.plain, ..Fields::default() };
    for (key, change) in draft.secrets {
        let Change::Replace(secret) = change else { panic!("{key} is new") };
        fields.secrets.insert(key, secret);
    }
    let way = (auth::find(SAML).unwrap().parse)(&fields).unwrap();
    let Step::Fetch { exchange, .. } = way.step(None, NOW) else { panic!("it needs a token") };
    let to =
        format!("{}{}", exchange.to.origin(), &exchange.to.tail_with(exchange.query.expose()).expose()[1..]);
    let mut shape = format!("POST {to}\n");
    for (name, value) in &exchange.headers {
        writeln!(shape, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    let form = exchange.form(NOW).unwrap().0;
    for (name, value) in form_urlencoded::parse(form.expose().as_bytes()) {
        let value = if name == "assertion" { "…".into() } else { value };
        writeln!(shape, "{name}={value}").unwrap();
    }
    let to_sign = exchange.assertion.unwrap();
    writeln!(shape, "base64url: {}", to_sign.url_safe).unwrap();
    let ids = Ids::of(format!("_{}", "0a".repeat(16)), format!("_{}", "0b".repeat(16)));
    let key = SigningKey::stored(&Secret::new(to_sign.key.expose().to_owned())).unwrap();
    let signed = to_sign.assertion.signed(&ids, NOW, &key).unwrap();
    writeln!(shape, "{}", signed.replace("><", ">\n<")).unwrap();
    shape
}

#[track_caller]
fn check(preset: &Preset, golden: &str) {
    let found = shape(preset);
    assert!(found == golden, "{} sends this now:\n{found}", preset.label);
}

#[test]
fn each_consumer_gets_the_documented_shape() {
    check(&SUCCESSFACTORS, include_str!("tests/successfactors.txt"));
    check(&S4HANA, include_str!("tests/s4hana_cloud.txt"));
    check(&C4C, include_str!("tests/c4c.txt"));
    check(&SALESFORCE, include_str!("tests/salesforce.txt"));
}
