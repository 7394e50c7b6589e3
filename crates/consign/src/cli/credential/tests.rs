use clap::Parser;

use super::super::failure::Code;
use super::super::output::Output;
use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    fields: Fields,
}

fn body(line: &[&str]) -> Result<Value, Failure> {
    let output = Output::new(&Global::default());
    let line = Line::parse_from([&["x"], line].concat());
    let mut secrets = Secrets::new(&output);
    let mut body = line.fields.body(&mut secrets)?;
    let rows = line.fields.header_rows(&mut secrets)?;
    if !rows.is_empty() {
        body.insert("custom_headers".to_owned(), rows.into());
    }
    Ok(Value::Object(body))
}

#[test]
fn flags_become_keys_of_the_api() {
    let path = std::env::temp_dir().join(format!("consign-secret-{}", std::process::id()));
    std::fs::write(&path, "two words \n").unwrap();
    let file = format!("@{}", path.display());
    let (password, header) = (format!("password={file}"), format!("X-Key={file}"));
    let line = [
        "--url-address",
        "https://tool.example/",
        "--authorization-type",
        "basic",
        "--username",
        "ana",
        "--secret",
        &password,
        "--custom-header",
        &header,
        "--label",
        "team=itsm",
        "--max-concurrency",
        "1",
    ];
    let expected = json!({
        "url_address": "https://tool.example/", "authorization_type": "basic", "username": "ana",
        "labels": { "team": "itsm" }, "max_concurrency": 1, "password": "two words ",
        "custom_headers": [ { "name": "X-Key", "value": "two words " } ],
    });
    assert_eq!(body(&line).unwrap(), expected);
    std::fs::remove_file(path).unwrap();
    assert_eq!(body(&["--secret", "password=canary"]).unwrap_err().code, Code::Usage);
    assert_eq!(body(&["--custom-header", "X-Key=canary"]).unwrap_err().code, Code::Usage);
    assert_eq!(body(&["--label", "team"]).unwrap_err().code, Code::Usage);
}

#[test]
fn headers_that_are_not_mentioned_keep_their_values() {
    let kept = |name: &str| json!({ "name": name, "sent_with": "api_request", "value": { "set": true } });
    let fresh = |name: &str| json!({ "name": name, "sent_with": "api_request", "value": "new" });
    let rows = merged_headers(
        vec![kept("A"), kept("B"), kept("C")],
        vec![fresh("b"), fresh("D")],
        &["c".to_owned()],
    );
    assert_eq!(rows, [kept("A"), fresh("b"), fresh("D")]);
}
