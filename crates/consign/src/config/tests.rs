use std::collections::BTreeMap;
use std::path::Path;

use super::load::variable_of;
use super::*;

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn loaded(text: &str, environment: &[(&str, &str)]) -> Loaded {
    load_from(None, text, &variables(environment)).expect("the options are right")
}

fn check(text: &str, environment: &[(&str, &str)], faults: &[&str]) {
    let error = load_from(None, text, &variables(environment)).expect_err(text);
    assert_eq!(error.to_string(), faults.join("\n"), "{text}");
}

fn values(loaded: &Loaded) -> Vec<(&'static str, String)> {
    loaded.config.print().into_iter().map(|(key, value, _)| (key, value)).collect()
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    assert_eq!(values(&loaded(DEFAULTS, &[])), values(&loaded("", &[])));
    let active = loaded(DEFAULTS, &[])
        .config
        .print()
        .into_iter()
        .filter(|(_, _, source)| *source == Source::File)
        .count();
    assert!(active > 15, "only {active} options are active");
}

#[test]
fn every_option_stands_in_the_printed_defaults_and_is_read_from_there() {
    let uncommented: String = DEFAULTS
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
                .unwrap_or(line)
        })
        .filter(|line| !line.starts_with("keys = "))
        .fold(String::new(), |text, line| text + line + "\n");
    let read = loaded(&uncommented, &[]);
    for (key, _, source) in read.config.print() {
        let inside_the_ring = key == "encryption.keys";
        assert_eq!(source == Source::File, !inside_the_ring, "{key} is missing from consign.default.toml");
    }
    assert!(DEFAULTS.contains("\n#keys = "));
}

#[test]
fn every_option_has_a_comment_above_it() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for pair in lines.windows(2) {
        let is_option = |line: &str| line.trim_start_matches('#').contains(" = ") && !line.starts_with("# ");
        if is_option(pair[1]) && !is_option(pair[0]) {
            assert!(pair[0].starts_with("# "), "{} has no reason", pair[1]);
        }
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let read = loaded(
        "[server]\nlisten = \"127.0.0.1:1\"\n[auth]\nidle_minutes = 5",
        &[
            ("CONSIGN_SERVER_LISTEN", "127.0.0.1:2"),
            ("CONSIGN_EGRESS_ALLOW", "10.0.0.0/8:443, tool.example:*"),
            ("CONSIGN_DELIVERY_RETRY_SCHEDULE_SECONDS", "1,2"),
        ],
    );
    assert_eq!(read.config.server.listen.port(), 2);
    assert_eq!(read.config.auth.idle_minutes, 5);
    assert_eq!(read.config.egress.allow, ["10.0.0.0/8:443", "tool.example:*"]);
    assert_eq!(read.config.delivery.retry_schedule_seconds, [1, 2]);
    let source = |wanted: &str| {
        let found = read.config.print().into_iter().find(|(key, _, _)| *key == wanted);
        found.map(|(_, _, source)| source.to_string()).unwrap_or_default()
    };
    assert_eq!(source("server.listen"), "CONSIGN_SERVER_LISTEN");
    assert_eq!(source("auth.idle_minutes"), "file");
    assert_eq!(source("auth.session_hours"), "default");
}

#[test]
fn what_is_not_known_gets_a_suggestion() {
    check(
        "[server]\nlistne = \"x\"",
        &[],
        &["the option “server.listne” is not known. Did you mean server.listen?"],
    );
    check(
        "",
        &[("CONSIGN_SERVER_LISTN", "x")],
        &["the variable “CONSIGN_SERVER_LISTN” is not known. Did you mean CONSIGN_SERVER_LISTEN?"],
    );
    loaded(
        "",
        &[("CONSIGN_SERVER", "https://x"), ("CONSIGN_TOKEN", "t"), ("CONSIGN_PORT_8420_TCP", "tcp://x")],
    );
}

#[test]
fn values_that_do_not_fit_are_named_and_never_repeated() {
    check("[auth]\nsession_hours = 0", &[], &["auth.session_hours needs a whole number from 1 to 720"]);
    check("[server]\nlisten = 8420", &[], &["server.listen needs a text in quotation marks"]);
    check("[egress]\nallow_loopback = \"yes\"", &[], &["egress.allow_loopback needs true or false"]);
    check("[egress]\ntls_min = \"1.0\"", &[], &["egress.tls_min needs one of 1.2, 1.3"]);
    check(
        "[server]\npublic_url = \"https://consign.example/path\"",
        &[],
        &["server.public_url needs an address without a path, such as https://consign.example.com"],
    );
    check(
        "[server.tls]\ncert_file = \"a\"",
        &[],
        &["server.tls.cert_file and server.tls.key_file belong together: give both or none"],
    );
    check(
        "[admin]\nemail = \"ana@example.com\"\npassword = 5",
        &[],
        &[
            "admin.password needs a text in quotation marks",
            "admin.email and admin.password belong together: give both or none",
        ],
    );
    let error =
        load_from(None, "[admin]\npassword = \"canary\nx = 1", &variables(&[])).expect_err("not TOML");
    assert!(!error.to_string().contains("canary") && error.to_string().contains("line 2"), "{error}");
}

#[test]
fn a_secret_can_stand_in_a_file_of_its_own() {
    let folder = std::env::temp_dir().join(format!("consign-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("password");
    std::fs::write(&path, "two words $HOME\n").unwrap();
    let path = path.display().to_string();
    let read = loaded("[admin]\nemail = \"ana@example.com\"", &[("CONSIGN_ADMIN_PASSWORD_FILE", &path)]);
    assert_eq!(read.config.admin.password.as_ref().map(Secret::expose), Some("two words $HOME"));
    let shown = read.config.print().into_iter().find(|(key, _, _)| *key == "admin.password").unwrap();
    assert_eq!((shown.1.as_str(), shown.2), ("set", Source::Twin(Path::new(&path).to_owned())));
    std::fs::remove_dir_all(&folder).unwrap();
    check(
        "[admin]\nemail = \"a@b\"\npassword_file = 1",
        &[],
        &[
            "admin.password_file needs the path of a file",
            "admin.email and admin.password belong together: give both or none",
        ],
    );
}

#[test]
fn names_of_variables_follow_from_names_of_options() {
    assert_eq!(variable_of("server.tls.cert_file"), "CONSIGN_SERVER_TLS_CERT_FILE");
}

#[test]
fn the_address_of_this_server() {
    let url = |text: &str| loaded(text, &[]).config.public_url();
    assert_eq!(url(""), "http://127.0.0.1:8420");
    assert_eq!(url("[server]\nlisten = \"0.0.0.0:80\""), "http://localhost:80");
    assert_eq!(url("[server]\npublic_url = \"https://Consign.example/\""), "https://consign.example");
    assert_eq!(loaded("", &[]).config.own_ports(), [8420, 9420]);
    assert_eq!(loaded("[server]\nmetrics_listen = \"\"", &[]).config.own_ports(), [8420]);
    let gateways = loaded("[gateway]\nlisten = \"127.0.0.1:8421\"", &[]).config;
    assert_eq!(gateways.own_ports(), [8420, 9420, 8421]);
}
