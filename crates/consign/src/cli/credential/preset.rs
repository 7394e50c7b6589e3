//! `consign credential presets` and `--preset`: the usual values for a tool, as the server knows them, behind everything
//! that was given.

use serde_json::{Map, Value};

use super::super::client::{Call, Client};
use super::super::failure::Failure;
use super::super::listing::{cell, show, text};
use super::super::output::Output;

/// The tools whose usual values are known.
pub(super) async fn list(client: &Client<'_>, output: &Output) -> Result<(), Failure> {
    let answer = client.send(Call::get(&["presets"])).await?;
    show(output, &answer, &["preset", "label", "authorization types"], "There are none.", |row| {
        let types = row["types"].as_array().into_iter().flatten();
        let types: Vec<_> = types.map(|filling| text(filling, "authorization_type")).collect();
        vec![cell(row, "kind"), cell(row, "label"), types.join(", ")]
    })
}

/// Fills in what was not given.
pub(super) async fn fill(
    client: &Client<'_>,
    output: &Output,
    kind: &str,
    body: &mut Map<String, Value>,
) -> Result<(), Failure> {
    let presets = client.send(Call::get(&["presets"])).await?.json()?;
    let told = fill_from(&presets, kind, body)?;
    told.iter().for_each(|line| output.note(line));
    Ok(())
}

/// Fills in, and says what the tool wants to be known.
fn fill_from(presets: &Value, kind: &str, body: &mut Map<String, Value>) -> Result<Vec<String>, Failure> {
    let preset = one_of(&presets["items"], "kind", kind, "--preset")?;
    let types = &preset["types"];
    let usual = text(&types[0], "authorization_type");
    let wanted = body.get("authorization_type").and_then(Value::as_str).unwrap_or(&usual).to_owned();
    let filling = one_of(types, "authorization_type", &wanted, "--authorization-type")?;
    body.entry("authorization_type").or_insert_with(|| wanted.into());

    let start = text(filling, "values.url_address");
    let own = body.get("url_address").and_then(Value::as_str).map(|own| own.trim_end_matches('/').to_owned());
    if own.is_none() && start.contains('{') {
        return Err(Failure::usage(&format!("Say --url-address, such as {start}")));
    }
    let mut told = Vec::new();
    for (key, value) in filling["values"].as_object().into_iter().flatten() {
        if let Some(rows) = value.as_array() {
            fill_rows(key, rows, body)?;
            continue;
        }
        if body.contains_key(key) {
            continue;
        }
        let value = match (value.as_str(), &own) {
            (Some(address), Some(own)) => match address.strip_prefix(&start) {
                Some(rest) => Value::String(format!("{own}/{rest}")),
                None => value.clone(),
            },
            _ => value.clone(),
        };
        match value.as_str().filter(|text| text.contains('{')) {
            None => drop(body.insert(key.clone(), value)),
            Some(example) if key == "test_path" => {
                told.push(format!("To prove the sign-in, add a test path: --test-path {example}"));
            }
            Some(example) => {
                let flag = key.replace('_', "-");
                return Err(Failure::usage(&format!("Say --{flag}, such as {example}")));
            }
        }
    }
    want_headers(filling, body)?;
    let hints = filling["hints"].as_object().into_iter().flatten();
    told.extend(hints.filter_map(|(key, hint)| Some(format!("{key}: {}", hint.as_str()?))));
    Ok(told)
}

/// Rows that are not there yet; what only the person knows must be said.
fn fill_rows(key: &str, rows: &[Value], body: &mut Map<String, Value>) -> Result<(), Failure> {
    let given = body.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let missing: Vec<_> =
        rows.iter().filter(|row| given.iter().all(|given| given["name"] != row["name"])).collect();
    if let Some(row) = missing.iter().find(|row| text(row, "value").contains('{')) {
        let flag = key.trim_end_matches('s').replace('_', "-");
        let (name, value) = (text(row, "name"), text(row, "value"));
        return Err(Failure::usage(&format!("Say --{flag} {name}=VALUE, in place of {value}")));
    }
    let all = given.into_iter().chain(missing.into_iter().cloned());
    body.insert(key.to_owned(), all.collect());
    Ok(())
}

/// Headers hold values that only the person knows.
fn want_headers(filling: &Value, body: &Map<String, Value>) -> Result<(), Failure> {
    let given: Vec<String> = body
        .get("custom_headers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|row| text(row, "name"))
        .collect();
    for header in filling["custom_headers"].as_array().into_iter().flatten() {
        let name = text(header, "name");
        if !given.iter().any(|given| given.eq_ignore_ascii_case(&name)) {
            let line = format!("Say --custom-header {name}=@FILE or {name}=env:VAR");
            return Err(Failure::usage(&line).and(&text(header, "hint")));
        }
    }
    Ok(())
}

fn one_of<'a>(items: &'a Value, key: &str, wanted: &str, flag: &str) -> Result<&'a Value, Failure> {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().find(|item| text(item, key) == wanted).ok_or_else(|| {
        let known: Vec<_> = items.iter().map(|item| text(item, key)).collect();
        Failure::usage(&format!("{flag} is one of {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests;
