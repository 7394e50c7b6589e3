//! Which options tell their value.

use super::*;

fn value(config: &Config, key: &str) -> String {
    let shown = options(config);
    let found = shown.as_array().unwrap().iter().find(|option| option["key"] == key);
    found.unwrap()["value"].as_str().unwrap().to_owned()
}

#[test]
fn what_may_name_something_is_only_set() {
    let mut config = Config::default();
    config.server.public_url = Some("https://consign.acme.example".to_owned());
    config.egress.allow = vec!["bmc.acme.internal:8443".to_owned()];
    config.admin.email = Some("ana@acme.example".to_owned());
    config.retention.payload_days = 3;
    config.egress.tls_min = "1.3";
    for key in ["server.public_url", "egress.allow", "admin.email"] {
        assert_eq!(value(&config, key), "set", "{key}");
    }
    assert_eq!(value(&config, "retention.payload_days"), "3");
    assert_eq!(value(&config, "egress.tls_min"), "\"1.3\"");
    assert!(!options(&config).to_string().contains("acme"));
}

#[test]
fn numbers_say_nothing_of_anybody() {
    for (text, expected) in
        [("3", true), ("[5, 300]", true), ("true", true), ("\"x\"", false), ("[\"x\"]", false)]
    {
        assert_eq!(says_nothing(text), expected, "{text}");
    }
}
