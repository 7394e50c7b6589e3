//! Rows of a name and a value, such as *OAuth Token Requests*: extra parameters, some of them secret.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Change, Given, Reading};
use crate::assertion;
use crate::auth::AuthorizationType;
use crate::catalog::{
    Fault, Field, Fields, Input, Names, Row, Rows, SentIn, is_mask, mask, row_secret_key, stored_rows,
    too_long, with_commas,
};
use crate::secret::Secret;

const ROW_KEYS: &[&str] = &["name", "value", "secret", "sent_in"];
const NAME_CHARS_MAX: usize = 64;
const TEXT_CHARS_MAX: usize = 256;

/// The rows in a stored text, as an API shows them and takes them back.
pub(super) fn shown(stored: &str) -> Value {
    let rows = stored_rows(stored).unwrap_or_default().into_iter().map(|row| {
        let value = row.value.map_or_else(|| json!({ "set": true }), Value::String);
        json!({ "name": row.name, "value": value, "secret": row.secret, "sent_in": row.sent_in })
    });
    rows.collect()
}

/// Where a secret of a row stands in what was sent, and the name of its row.
pub(super) fn place_of(
    key: &str,
    entry: &AuthorizationType,
    plain: &BTreeMap<String, String>,
) -> Option<(String, String)> {
    entry.fields.iter().filter(|field| matches!(field.input, Input::Rows(_))).find_map(|field| {
        let rows = stored_rows(plain.get(field.key)?)?;
        let index = (0..rows.len()).find(|index| row_secret_key(field.key, &rows, *index) == key)?;
        Some((format!("{}/{index}/value", field.key), rows[index].name.clone()))
    })
}

impl Reading<'_> {
    pub(super) fn rows(
        &mut self,
        entry: &'static AuthorizationType,
        field: &'static Field,
        rules: &Rows,
        typed: &mut Fields,
        secrets: &mut BTreeMap<String, Change>,
    ) {
        let sent = self.reader.list(field.key, field.label);
        if sent.len() > rules.rows_max {
            let sentence = format!("Add {} rows or fewer", rules.rows_max);
            self.reader.refuse(field.key, Fault::new("too_many", sentence));
            return;
        }
        let mut rows: Vec<Row> = Vec::new();
        for (index, row) in sent.into_iter().enumerate() {
            let at = format!("{}/{index}", field.key);
            if !row.is_object() {
                self.reader.refuse(&at, Fault::new("bad_form", "A row must be an object"));
                continue;
            }
            self.reader.refuse_unknown_in_row(&at, &row, ROW_KEYS);
            let Some((row, value)) = self.row(row, index, field, rules, typed) else { continue };
            rows.push(row);
            let key = row_secret_key(field.key, &rows, rows.len() - 1);
            self.row_value(&format!("{at}/value"), &mut rows, (key, value), (entry, rules), (typed, secrets));
        }
        let bytes = |row: &Row| row.name.len() + row.value.as_deref().map_or(0, str::len);
        if rows.iter().map(bytes).sum::<usize>() > rules.bytes_max {
            let most = with_commas(rules.bytes_max);
            let sentence = format!("{} must be {most} bytes or fewer in all", field.label);
            self.reader.refuse(field.key, Fault::new("too_long", sentence));
        }
        if !rows.is_empty() {
            let text = serde_json::to_string(&rows).expect("texts and words always serialize");
            typed.plain.insert(field.key.to_owned(), text);
        }
    }

    /// A row with what was given for its value.
    fn row(
        &mut self,
        mut row: Value,
        index: usize,
        field: &Field,
        rules: &Rows,
        typed: &Fields,
    ) -> Option<(Row, Given)> {
        let at = |part: &str| format!("{}/{index}/{part}", field.key);
        let mut take = |key: &str| row.get_mut(key).map(Value::take).unwrap_or_default();
        let name = take("name").as_str().unwrap_or_default().to_owned();
        let secret = match take("secret") {
            Value::Bool(secret) => secret,
            Value::String(text) => text == "on" || text == "true",
            _ => false,
        };
        let sent_in = match take("sent_in") {
            Value::Null => Some(SentIn::Body),
            word => word.as_str().and_then(SentIn::find),
        };
        let value = take("value");
        let Some(sent_in) = sent_in.filter(|place| rules.query || *place == SentIn::Body) else {
            let fault = match rules.query {
                true => Fault::new("unknown", "Sent in must be body or query"),
                false => not_for(field, "Sent in", "they all travel in the same place"),
            };
            self.reader.refuse(&at("sent_in"), fault);
            return None;
        };
        if secret && !rules.secrets {
            let fault = not_for(field, "Secret", "their values are stored and shown as text");
            self.reader.refuse(&at("secret"), fault);
            return None;
        }
        self.reader.accept(&at("name"), judge_name(&name, index + 1, rules, typed))?;
        let given = match value {
            Value::Null => Given::Typed(Secret::new(String::new())),
            value => self.given_value(value, &at("value"), "Value"),
        };
        Some((Row { name, value: None, secret, sent_in }, given))
    }

    /// Puts the value of the last row where it belongs: into the row, or among the secrets.
    fn row_value(
        &mut self,
        at: &str,
        rows: &mut [Row],
        (key, given): (String, Given),
        (entry, rules): (&'static AuthorizationType, &Rows),
        (typed, secrets): (&mut Fields, &mut BTreeMap<String, Change>),
    ) {
        let Some(row) = rows.last_mut() else { return };
        let name = row.name.clone();
        let stored = self.current.is_some_and(|current| {
            current.authorization_type.kind == entry.kind && current.secrets.contains_key(&key)
        });
        match given {
            Given::Kept if row.secret && stored => {
                secrets.insert(key, Change::Keep);
            }
            Given::Kept | Given::Removed => {
                self.reader.refuse(at, Fault::new("missing", format!("Enter a value for {name}")));
            }
            Given::Typed(value) => {
                self.reader.accept(at, judge_value(&name, value.expose(), row.secret, rules));
                if row.secret {
                    typed.secrets.insert(key, value);
                } else {
                    row.value = Some(value.expose().to_owned());
                }
            }
            Given::Refused => {}
        }
    }
}

fn not_for(field: &Field, what: &str, why: &str) -> Fault {
    let sentence = format!("{what} is not for {}: {why}. Leave it out", field.label);
    Fault::new("unsupported", sentence)
}

fn judge_name(name: &str, row: usize, rules: &Rows, typed: &Fields) -> Result<(), Fault> {
    if name.is_empty() {
        return Err(Fault::new("missing", format!("Enter a name for row {row} or remove it")));
    }
    if rules.names == Names::Text {
        if name.chars().count() > TEXT_CHARS_MAX {
            return Err(too_long(&format!("The name of row {row}"), TEXT_CHARS_MAX));
        }
        return assertion::judge_name(&format!("The name of row {row}"), name);
    }
    let plain = name.len() <= NAME_CHARS_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte));
    if !plain {
        let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
        let sentence = format!("“{shown}” must use letters, digits and . _ ~ - only");
        return Err(Fault::new("bad_characters", sentence));
    }
    let filled = |field: &&str| **field == *name && !typed.text(field).is_empty();
    if rules.reserved.contains(&name) || rules.reserved_while_filled.iter().any(filled) {
        return Err(Fault::new("reserved", format!("“{name}” is set automatically")));
    }
    Ok(())
}

fn judge_value(name: &str, value: &str, secret: bool, rules: &Rows) -> Result<(), Fault> {
    if value.chars().count() > rules.value_chars_max {
        return Err(too_long(&format!("The value of {name}"), rules.value_chars_max));
    }
    if secret && value.is_empty() {
        return Err(Fault::new("missing", format!("Enter a value for {name}")));
    }
    if secret && is_mask(value) {
        return Err(mask(&format!("value of {name}")));
    }
    assertion::judge(&format!("The value of {name}"), value)
}
