//! Reading how records are written.

use serde_json::{Map, Value};

use crate::catalog::{Fault, Reader};
use crate::connector::format::{Column, Csv, Delimiter, Format, JsonShape, LineEnd};
use crate::template::FactPath;

/// As many as a person can look over; a spreadsheet has 16,384.
const COLUMNS_MAX: usize = 200;
const PROPERTIES_MAX: usize = 20;
const NAME_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 1_024;
/// The array in an object, when nobody names it.
const ARRAY_KEY: &str = "records";

#[derive(Clone, Copy)]
enum Shape {
    Array,
    Concatenated,
    ObjectWithArray,
}

pub(super) fn read(reader: &mut Reader, of_events: bool) -> Option<Format> {
    let kind = reader.choice("format", "Format", &[("csv", 0), ("ndjson", 1), ("json", 2)], 0);
    let rows = reader.list("columns", "Columns");
    let without = rows.is_empty() && reader.is_clean("columns");
    let columns = read_columns(reader, &rows, of_events);
    let csv = reader.take("csv");
    let shapes = [
        ("array", Shape::Array),
        ("concatenated", Shape::Concatenated),
        ("object_with_array", Shape::ObjectWithArray),
    ];
    let shape = reader.choice("json_shape", "JSON shape", &shapes, Shape::Array);
    let key = reader.text("json_array_key", "Name of the array").trim().to_owned();
    let properties = reader.take("json_properties");
    match kind {
        0 => {
            if without {
                reader.refuse("columns", Fault::new("missing", "Add at least one column"));
            }
            read_csv(reader, csv, columns).map(Format::Csv)
        }
        1 => Some(Format::Ndjson { columns }),
        _ => {
            let shape = match shape {
                Shape::Array => JsonShape::Array,
                Shape::Concatenated => JsonShape::Concatenated,
                Shape::ObjectWithArray => {
                    let key = if key.is_empty() { ARRAY_KEY.to_owned() } else { key };
                    let properties = read_properties(reader, properties, &key)?;
                    JsonShape::ObjectWithArray { key, properties }
                }
            };
            Some(Format::Json { shape, columns })
        }
    }
}

fn read_columns(reader: &mut Reader, rows: &[Value], of_events: bool) -> Vec<Column> {
    if rows.len() > COLUMNS_MAX {
        reader.refuse("columns", Fault::new("too_many", "Add 200 columns or fewer"));
        return Vec::new();
    }
    let mut columns: Vec<Column> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let at = |part: &str| format!("columns/{index}/{part}");
        reader.refuse_unknown_in_row(&format!("columns/{index}"), row, &["name", "path", "default"]);
        let part = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().trim();
        let name = part("name");
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
            let sentence = format!("Enter a name for column {} or remove it", index + 1);
            reader.refuse(&at("name"), Fault::new("missing", sentence));
            continue;
        }
        if columns.iter().any(|other| other.name == name) {
            reader.refuse(&at("name"), Fault::new("listed_twice", format!("“{name}” is listed twice")));
            continue;
        }
        let Some(path) = reader.accept(&at("path"), parse_path(part("path"), name, of_events)) else {
            continue;
        };
        let default = row.get("default").cloned().unwrap_or_default();
        if !is_scalar(&default) {
            let sentence = "A default must be a text, a number, true, false or nothing";
            reader.refuse(&at("default"), Fault::new("bad_form", sentence));
            continue;
        }
        columns.push(Column { name: name.to_owned(), path, default });
    }
    columns
}

/// Where a value stands; nothing is the member of that name.
fn parse_path(text: &str, name: &str, of_events: bool) -> Result<FactPath, Fault> {
    if text.is_empty() {
        return Ok(FactPath::of_member(name));
    }
    let unknown = || {
        let shown: String = text.chars().take(64).collect();
        let start = if of_events { "event. or data." } else { "data." };
        Fault::new("unknown_path", format!("“{shown}” in the columns is not known. Start with {start}"))
    };
    match FactPath::read(text) {
        Ok((path, "")) if path.is_of_data() || (of_events && path.is_of_event()) => Ok(path),
        Ok(_) | Err(_) => Err(unknown()),
    }
}

fn read_csv(reader: &mut Reader, sent: Value, columns: Vec<Column>) -> Option<Csv> {
    let details = match sent {
        Value::Null => Map::new(),
        Value::Object(details) => details,
        _ => {
            reader.refuse("csv", Fault::new("bad_form", "CSV details must be an object"));
            return None;
        }
    };
    let mut own = Reader::new(details);
    let csv = Csv {
        columns,
        delimiter: own.choice("delimiter", "Delimiter", Delimiter::ALL, Delimiter::Comma),
        header: own.flag("header", "Header row", true),
        line_end: own.choice("line_end", "Line end", LineEnd::ALL, LineEnd::Lf),
        bom: own.flag("bom", "Byte order mark", false),
        guard: own.flag("guard", "Guard against formulas", true),
    };
    own.refuse_unknown(&["delimiter", "header", "line_end", "bom", "guard"], &[]);
    for mut invalid in own.into_invalid() {
        invalid.field = format!("csv/{}", invalid.field);
        reader.refuse_all(vec![invalid]);
    }
    Some(csv)
}

fn read_properties(reader: &mut Reader, sent: Value, key: &str) -> Option<Map<String, Value>> {
    let properties = match sent {
        Value::Null => return Some(Map::new()),
        Value::Object(properties) => properties,
        _ => {
            let sentence = "Properties must be an object of texts, numbers, true and false";
            reader.refuse("json_properties", Fault::new("bad_form", sentence));
            return None;
        }
    };
    if properties.len() > PROPERTIES_MAX {
        reader.refuse("json_properties", Fault::new("too_many", "Add 20 properties or fewer"));
        return None;
    }
    for (name, value) in &properties {
        let long = name.chars().count() > NAME_CHARS_MAX
            || value.as_str().is_some_and(|text| text.chars().count() > VALUE_CHARS_MAX);
        let fault = if name == key {
            Fault::new("listed_twice", format!("“{key}” is the name of the array"))
        } else if !is_scalar(value) {
            Fault::new("bad_form", "Properties must be an object of texts, numbers, true and false")
        } else if long {
            Fault::new("too_long", "Properties must be 1,024 characters or fewer")
        } else {
            continue;
        };
        reader.refuse("json_properties", fault);
        return None;
    }
    Some(properties)
}

fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}
