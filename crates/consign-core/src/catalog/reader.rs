//! Reading the keys of a sent object one by one, collecting everything that is wrong.

use serde_json::{Map, Value};

use super::{Fault, Invalid, unknown_field};

/// The keys of a sent object that were not read yet, and what was not accepted so far.
pub struct Reader {
    sent: Map<String, Value>,
    invalid: Vec<Invalid>,
}

impl Reader {
    /// Starts on a sent object.
    pub fn new(sent: Map<String, Value>) -> Self {
        Self { sent, invalid: Vec::new() }
    }

    /// Whether a key was sent and not read yet.
    pub fn has(&self, key: &str) -> bool {
        self.sent.contains_key(key)
    }

    /// A value that was not read yet.
    pub fn peek(&self, key: &str) -> Option<&Value> {
        self.sent.get(key)
    }

    /// Takes a value as it is; `null` when absent.
    pub fn take(&mut self, key: &str) -> Value {
        self.sent.remove(key).unwrap_or(Value::Null)
    }

    /// Takes a value; `None` when absent.
    pub fn take_if_sent(&mut self, key: &str) -> Option<Value> {
        self.sent.remove(key)
    }

    /// Takes a text; empty when absent or `null`; anything else is refused.
    pub fn text(&mut self, key: &str, label: &str) -> String {
        let value = self.take(key);
        self.text_of(value, key, label)
    }

    /// The text in a value that was taken; see [`Reader::text`].
    pub fn text_of(&mut self, value: Value, key: &str, label: &str) -> String {
        match value {
            Value::Null => String::new(),
            Value::String(text) => text,
            _ => {
                self.refuse(key, Fault::new("bad_form", format!("{label} must be text")));
                String::new()
            }
        }
    }

    /// Takes a list; empty when absent or `null`.
    pub fn list(&mut self, key: &str, label: &str) -> Vec<Value> {
        match self.take(key) {
            Value::Null => Vec::new(),
            Value::Array(rows) => rows,
            _ => {
                self.refuse(key, Fault::new("bad_form", format!("{label} must be a list")));
                Vec::new()
            }
        }
    }

    /// Takes true or false; forms send `on` or nothing.
    pub fn flag(&mut self, key: &str, label: &str, default: bool) -> bool {
        match self.take(key) {
            Value::Null => default,
            Value::Bool(flag) => flag,
            Value::String(text) if text == "on" || text == "true" => true,
            Value::String(text) if text.is_empty() || text == "false" => false,
            _ => {
                self.refuse(key, Fault::new("bad_form", format!("{label} must be true or false")));
                default
            }
        }
    }

    /// Takes one of a closed set of words.
    pub fn choice<T: Copy>(&mut self, key: &str, label: &str, choices: &[(&str, T)], default: T) -> T {
        let text = self.text(key, label);
        if text.is_empty() {
            return default;
        }
        match choices.iter().find(|(kind, _)| *kind == text) {
            Some((_, choice)) => *choice,
            None => {
                let known: Vec<_> = choices.iter().map(|(kind, _)| *kind).collect();
                let sentence = format!("{label} must be one of {}", known.join(", "));
                self.refuse(key, Fault::new("unknown", sentence));
                default
            }
        }
    }

    /// The value of a result; its fault is noted at the field.
    pub fn accept<T>(&mut self, field: &str, result: Result<T, Fault>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(fault) => {
                self.refuse(field, fault);
                None
            }
        }
    }

    /// Notes a fault at a field.
    pub fn refuse(&mut self, field: &str, fault: Fault) {
        self.invalid.push(fault.at(field));
    }

    /// Notes what was found elsewhere.
    pub fn refuse_all(&mut self, invalid: Vec<Invalid>) {
        self.invalid.extend(invalid);
    }

    /// Drops faults that another rule explains better.
    pub fn forgive(&mut self, explained: impl Fn(&Invalid) -> bool) {
        self.invalid.retain(|one| !explained(one));
    }

    /// Whether nothing was refused at a field so far.
    pub fn is_clean(&self, field: &str) -> bool {
        self.invalid.iter().all(|one| one.field != field)
    }

    /// The keys that nobody read.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.sent.keys().map(String::as_str)
    }

    /// Refuses every key that nobody read; `read_only` keys of an answer may come back and say nothing.
    pub fn refuse_unknown(&mut self, known: &[&str], read_only: &[&str]) {
        let unknown: Vec<_> = self.left().filter(|key| !read_only.contains(key)).collect();
        let unknown: Vec<_> = unknown.into_iter().map(|key| unknown_field(key, known)).collect();
        self.invalid.extend(unknown);
    }

    /// Refuses every key of a row that is not known, at `headers/0/key`.
    pub fn refuse_unknown_in_row(&mut self, at: &str, row: &Value, known: &[&str]) {
        let keys = row.as_object().into_iter().flat_map(Map::keys);
        for key in keys.filter(|key| !known.contains(&key.as_str())) {
            let mut invalid = unknown_field(key, known);
            invalid.field = format!("{at}/{}", invalid.field);
            self.invalid.push(invalid);
        }
    }

    /// Everything that was not accepted.
    pub fn into_invalid(self) -> Vec<Invalid> {
        self.invalid
    }
}
