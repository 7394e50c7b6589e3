use clap::Parser;

use super::*;
use crate::cli::Global;
use crate::cli::failure::Code;
use crate::cli::output::Output;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    fields: TypeFields,
    #[command(flatten)]
    removed: RemovedRows,
}

fn read(words: &[&str]) -> Result<Value, Failure> {
    let output = Output::new(&Global::default());
    let line = Line::parse_from([&["x"], words].concat());
    let mut body = Map::new();
    line.fields.put_plain(&mut body)?;
    for (key, rows) in line.fields.rows(&mut Secrets::new(&output))? {
        body.insert(key.to_owned(), rows.into());
    }
    Ok(Value::Object(body))
}

#[test]
fn every_plain_field_of_every_type_is_a_flag_and_no_secret_is() {
    let command = <Line as clap::CommandFactory>::command();
    let flags: Vec<_> = command.get_arguments().filter_map(Arg::get_long).collect();
    for field in AUTHORIZATION_TYPES.iter().flat_map(|entry| entry.fields) {
        assert_eq!(flags.contains(&flag_of(field).as_str()), !field.is_secret(), "{}", field.key);
    }
    let help = command.clone().render_long_help().to_string();
    for words in ["Access Token URL. We ask here for a new token", "--pkce <s256|off>", "NAME?=VALUE"] {
        assert!(help.contains(words), "{words}\n{help}");
    }
}

#[test]
fn values_and_rows_become_keys_of_the_api() {
    let path = std::env::temp_dir().join(format!("consign-row-{}", std::process::id()));
    std::fs::write(&path, "hidden\n").unwrap();
    let secret = format!("api_key=@{}", path.display());
    let read_body = read(&[
        "--client-id",
        "a=b",
        "--token-lifetime-seconds",
        "60",
        "--scope",
        "",
        "--oauth-token-request",
        "resource=one",
        "--oauth-token-request",
        "resource=two=2",
        "--oauth-token-request",
        "company?=acme",
        "--oauth-token-request",
        &secret,
        "--authorization-parameter",
        "login_hint=@ana",
    ]);
    std::fs::remove_file(path).unwrap();
    let expected = json!({
        "client_id": "a=b", "token_lifetime_seconds": "60", "scope": "",
        "oauth_token_requests": [
            { "name": "resource", "value": "one" },
            { "name": "resource", "value": "two=2" },
            { "name": "company", "value": "acme", "sent_in": "query" },
            { "name": "api_key", "value": "hidden", "secret": true },
        ],
        "authorization_parameters": [{ "name": "login_hint", "value": "@ana" }],
    });
    assert_eq!(read_body.unwrap(), expected);
    let file = concat!("a=@", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for wrong in ["api_key=env:PATH", file] {
        let failure = read(&["--saml-attribute", wrong]).unwrap_err();
        assert_eq!(
            failure.lines,
            [
                "--saml-attribute takes the value itself, not a file or a variable",
                "SAML Attributes are not secret: their values are stored and shown as text"
            ]
        );
    }
    for wrong in ["resource", "=x", "key=env:NOT_SET_HERE", "key=@/does/not/exist"] {
        assert_eq!(read(&["--oauth-token-request", wrong]).unwrap_err().code, Code::Usage, "{wrong}");
    }
}

#[test]
fn rows_of_the_same_name_make_room_for_fresh_ones_and_others_stay() {
    let row = |name: &str, value: &str| json!({ "name": name, "value": value });
    let present = vec![row("a", "1"), row("b", "1"), row("a", "2"), row("c", "1")];
    let rows = merged_rows(present, vec![row("a", "3")], &["c".to_owned()]);
    assert_eq!(rows, [row("b", "1"), row("a", "3")]);
    let line = Line::parse_from(["x", "--remove-oauth-token-request", "c"]);
    let named: Vec<_> = line.removed.named().collect();
    assert_eq!(named, [("oauth_token_requests", &["c".to_owned()][..])]);
}
