//! JSON that means one thing: two members of one name in one object are read differently by different programs; a patch
//! changes what it says and leaves the rest (RFC 7396).

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Of a member's name no more than this is shown.
const SHOWN_CHARS_MAX: usize = 64;

/// The first member that stands twice in one object, at any depth: its name, to be shown. What is no JSON has none.
pub fn duplicate_member(json: &[u8]) -> Option<String> {
    let mut found = None;
    let mut reader = serde_json::Deserializer::from_slice(json);
    // It ends early for a member that was found, or for what a reader of values refuses too.
    let _ = Walk(&mut found).deserialize(&mut reader);
    found
}

/// The sentence about such a member, without a full stop.
pub fn twice(name: &str) -> String {
    let shown: String = name.chars().take(SHOWN_CHARS_MAX).collect();
    format!("“{shown}” stands twice in one object. Send it once")
}

/// Merges a patch into an object (RFC 7396 section 2): `null` removes a member, an object is merged member by member, whatever
/// else replaces what was there.
pub fn merge(whole: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => drop(whole.remove(&key)),
            Value::Object(changes) => {
                let member = whole.entry(key).or_insert_with(|| Value::Object(Map::new()));
                if !member.is_object() {
                    *member = Value::Object(Map::new());
                }
                if let Value::Object(member) = member {
                    merge(member, changes);
                }
            }
            other => drop(whole.insert(key, other)),
        }
    }
}

/// Goes through a value and builds nothing of it.
struct Walk<'a>(&'a mut Option<String>);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Walk(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if seen.contains(&name) {
                *self.0 = Some(name);
                return Err(A::Error::custom("a member stands twice"));
            }
            seen.insert(name);
            members.next_value_seed(Walk(self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
