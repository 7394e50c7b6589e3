//! Presets as the API and the command line show them.

use consign_core::preset::{Filling, PRESETS};
use serde_json::{Map, Value, json};

/// The usual values for tools, with the keys of a credential.
pub fn list() -> Value {
    PRESETS
        .iter()
        .map(|preset| {
            let types: Vec<_> = preset.types.iter().map(show).collect();
            json!({ "kind": preset.kind, "label": preset.label, "types": types })
        })
        .collect()
}

fn show(filling: &Filling) -> Value {
    let mut values = Map::new();
    values.insert("url_address".to_owned(), filling.url_address.into());
    values.extend(filling.values.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))));
    for (key, rows) in filling.rows {
        let rows = rows.iter().map(|(name, value)| json!({ "name": name, "value": value }));
        values.insert((*key).to_owned(), rows.collect());
    }
    if !filling.test_path.is_empty() {
        values.insert("test_path".to_owned(), filling.test_path.into());
    }
    let headers = filling.custom_headers.iter().map(|(name, hint)| json!({ "name": name, "hint": hint }));
    let hints: Map<_, _> =
        filling.hints.iter().map(|(key, hint)| ((*key).to_owned(), Value::from(*hint))).collect();
    json!({
        "authorization_type": filling.authorization_type,
        "values": values,
        "custom_headers": headers.collect::<Vec<_>>(),
        "hints": hints,
        "webhook": { "method": filling.webhook_method, "path": filling.webhook_path },
    })
}
