//! The description of the API (OpenAPI 3.1), as people read it: operations by subject, and schemas.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::ROOT;
use crate::api;

/// Methods in the order in which they are shown.
const METHODS: &[&str] = &["get", "post", "put", "patch", "delete"];
/// A type that is made of types is read so deep.
const DEPTH_MAX: usize = 6;

/// The whole description.
pub(crate) struct Reference {
    description: Value,
}

/// One method of one address.
pub(crate) struct Operation<'a> {
    /// In capitals.
    pub(crate) method: String,
    /// With the base of the API.
    pub(crate) path: String,
    /// Its subject.
    pub(crate) tag: &'a str,
    /// As it is described.
    pub(crate) value: &'a Value,
}

impl Operation<'_> {
    /// Where it is described.
    pub(crate) fn address(&self) -> String {
        format!("{ROOT}/api/{}#{}", slug(self.tag), self.id())
    }

    fn id(&self) -> &str {
        text(&self.value["operationId"])
    }
}

impl Reference {
    /// The description, read once.
    pub(crate) fn whole() -> &'static Self {
        static WHOLE: OnceLock<Reference> = OnceLock::new();
        WHOLE.get_or_init(|| Self { description: api::description() })
    }

    /// Every operation, by address.
    pub(crate) fn operations(&self) -> Vec<Operation<'_>> {
        let base = text(&self.description["servers"][0]["url"]);
        let paths = self.description["paths"].as_object().into_iter().flatten();
        let all = paths.flat_map(|(path, methods)| {
            METHODS.iter().filter_map(move |method| {
                let value = methods.get(method)?;
                let (method, path) = (method.to_uppercase(), format!("{base}{path}"));
                Some(Operation { method, path, tag: text(&value["tags"][0]), value })
            })
        });
        all.collect()
    }

    /// The subjects, each with the lines of its operations.
    pub(crate) fn subjects(&self) -> Vec<Value> {
        let operations = self.operations();
        let tags = self.description["tags"].as_array().into_iter().flatten();
        let subject = |tag: &Value| {
            let of_tag = operations.iter().filter(|operation| operation.tag == text(&tag["name"]));
            let lines = of_tag.map(|operation| {
                json!({ "method": operation.method, "path": operation.path, "address": operation.address(),
                    "summary": text(&operation.value["summary"]) })
            });
            json!({ "name": tag["name"], "slug": slug(text(&tag["name"])), "description": tag["description"],
                "operations": lines.collect::<Vec<_>>() })
        };
        tags.map(subject).collect()
    }

    /// A subject with all that is said of its operations; `None` when there is no such one.
    pub(crate) fn subject(&self, asked: &str) -> Option<Value> {
        let tags = self.description["tags"].as_array()?;
        let tag = tags.iter().find(|tag| slug(text(&tag["name"])) == asked)?;
        let operations = self.operations();
        let shown = operations.iter().filter(|operation| operation.tag == text(&tag["name"]));
        let shown: Vec<_> = shown.map(|operation| self.operation(operation)).collect();
        Some(json!({ "name": tag["name"], "description": tag["description"], "operations": shown }))
    }

    /// The names of all schemas.
    pub(crate) fn schemas(&self) -> Vec<&str> {
        let schemas = self.description["components"]["schemas"].as_object();
        schemas.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }

    /// One schema; `None` when there is no such one.
    pub(crate) fn schema(&self, name: &str) -> Option<Value> {
        let schema = self.description["components"]["schemas"].get(name)?;
        let mut shown = self.shape(schema);
        shown["name"] = json!(name);
        shown["description"] = json!(text(&schema["description"]));
        Some(shown)
    }

    fn operation(&self, operation: &Operation<'_>) -> Value {
        let value = operation.value;
        let parameters = value["parameters"].as_array().into_iter().flatten();
        let parameters: Vec<_> = parameters
            .map(|parameter| {
                let parameter = self.resolved(parameter);
                json!({
                    "name": parameter["name"],
                    "in": parameter["in"],
                    "required": parameter["required"] == true,
                    "type": self.kind(&parameter["schema"], 0),
                    "description": text(&parameter["description"]),
                })
            })
            .collect();
        let scopes = value["security"].as_array().into_iter().flatten();
        let scopes: Vec<_> = scopes.filter_map(|way| way["apiKey"][0].as_str()).collect();
        let answers = value["responses"].as_object().into_iter().flatten();
        let answers: Vec<_> = answers
            .filter(|(status, _)| *status != "default")
            .map(|(status, answer)| {
                let answer = self.resolved(answer);
                json!({ "status": status, "description": text(&answer["description"]),
                    "content": self.content(&answer["content"]) })
            })
            .collect();
        json!({
            "id": operation.id(),
            "method": operation.method,
            "path": operation.path,
            "summary": text(&value["summary"]),
            "description": text(&value["description"]),
            "scopes": scopes,
            "parameters": parameters,
            "body": self.content(&self.resolved(&value["requestBody"])["content"]),
            "answers": answers,
        })
    }

    /// A body in each of its media types.
    fn content(&self, content: &Value) -> Vec<Value> {
        let kinds = content.as_object().into_iter().flatten();
        let shown = kinds.map(|(media_type, described)| {
            let mut shown = self.shape(&described["schema"]);
            shown["media_type"] = json!(media_type);
            let examples = described["examples"].as_object().into_iter().flatten();
            let examples = examples.filter_map(|(name, example)| {
                let example = self.resolved(example);
                let text = serde_json::to_string_pretty(example.get("value")?).ok()?;
                Some(json!({ "name": example["summary"].as_str().unwrap_or(name), "text": text }))
            });
            let one = described.get("example").and_then(|value| serde_json::to_string_pretty(value).ok());
            let one = one.map(|text| json!({ "name": "Example", "text": text }));
            shown["examples"] = examples.chain(one).collect();
            shown
        });
        shown.collect()
    }

    /// The type of a schema, and its members where it has any.
    fn shape(&self, schema: &Value) -> Value {
        let mut members = Map::new();
        self.members(schema, &mut members, 0);
        let members: Vec<_> = members.into_iter().map(|(_, member)| member).collect();
        json!({ "type": self.kind(schema, 0), "members": members })
    }

    /// The members of an object, those of what it is made of first.
    fn members(&self, schema: &Value, found: &mut Map<String, Value>, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.members(self.resolved(part), found, depth + 1);
        }
        let required = schema["required"].as_array();
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = required.is_some_and(|names| names.contains(&json!(name)));
            let described =
                [member, self.resolved(member)].into_iter().find_map(|one| one["description"].as_str());
            let shown = json!({ "name": name, "type": self.kind(member, 0), "required": is_required,
                "description": described.unwrap_or_default() });
            found.insert(name.clone(), shown);
        }
    }

    /// A type in words: pieces of text, some of which are schemas with a page of their own.
    fn kind(&self, schema: &Value, depth: usize) -> Vec<Value> {
        let word = |text: String| vec![json!({ "text": text })];
        if depth > DEPTH_MAX {
            return word("…".to_owned());
        }
        if let Some(name) = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()) {
            return vec![json!({ "text": name, "schema": name })];
        }
        if let Some(one) = schema.get("const") {
            return word(format!("always {}", bare(one)));
        }
        if let Some(choices) = schema["enum"].as_array() {
            return word(format!("one of {}", choices.iter().map(bare).collect::<Vec<_>>().join(", ")));
        }
        for (key, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " with ")] {
            if let Some(parts) = schema[key].as_array() {
                let mut pieces = Vec::new();
                for (number, part) in parts.iter().enumerate() {
                    if number > 0 {
                        pieces.push(json!({ "text": between }));
                    }
                    pieces.extend(self.kind(part, depth + 1));
                }
                return pieces;
            }
        }
        let names: Vec<_> = match &schema["type"] {
            Value::Array(names) => names.iter().map(text).collect(),
            one => vec![text(one)],
        };
        if names.contains(&"array") {
            let mut pieces = word("list of ".to_owned());
            pieces.extend(self.kind(&schema["items"], depth + 1));
            if names.contains(&"null") {
                pieces.push(json!({ "text": " or null" }));
            }
            return pieces;
        }
        let limits = [
            ("format", ""),
            ("minLength", "from "),
            ("maxLength", "up to "),
            ("minimum", "from "),
            ("maximum", "to "),
        ];
        let limits =
            limits.iter().filter_map(|(key, word)| Some(format!("{word}{}", bare(schema.get(key)?))));
        let limits: Vec<_> = limits.collect();
        let name = names.iter().filter(|name| !name.is_empty()).copied().collect::<Vec<_>>().join(" or ");
        let name = if name.is_empty() { "anything".to_owned() } else { name };
        word(if limits.is_empty() { name } else { format!("{name} ({})", limits.join(", ")) })
    }

    /// What a reference leads to; anything else is itself.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let to = value["$ref"].as_str().and_then(|to| self.description.pointer(to.strip_prefix('#')?));
        to.unwrap_or(value)
    }
}

/// The name of a subject in an address.
fn slug(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A value as it is read: texts without quotes.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
