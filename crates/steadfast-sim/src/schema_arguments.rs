//! Makes arguments for a tool from its JSON Schema, as a model would that does not think.
//!
//! Only what is required is given, and only what such schemas usually contain is understood.

use serde_json::{Map, Value, json};

/// How deep a schema may refer to itself before the simulator gives up with `null`.
const DEEPEST: usize = 12;

/// Returns arguments that fit the schema.
pub(crate) fn arguments(schema: &Value, prompt: &str) -> Value {
    let maker = Maker {
        root: schema,
        prompt,
    };
    match maker.value("", schema, 0) {
        arguments @ Value::Object(_) => arguments,
        // The arguments of a function are an object, whatever the schema says.
        _ => json!({}),
    }
}

struct Maker<'a> {
    root: &'a Value,
    prompt: &'a str,
}

impl Maker<'_> {
    fn value(&self, name: &str, schema: &Value, depth: usize) -> Value {
        if depth > DEEPEST {
            return Value::Null;
        }
        for key in ["const", "default"] {
            if let Some(value) = schema.get(key) {
                return value.clone();
            }
        }
        for key in ["enum", "examples"] {
            if let Some(value) = schema.get(key).and_then(|values| values.get(0)) {
                return value.clone();
            }
        }
        let elsewhere = self.referred(schema).or_else(|| {
            let keys = ["anyOf", "oneOf", "allOf"];
            keys.iter().find_map(|key| schema.get(key)?.get(0))
        });
        if let Some(elsewhere) = elsewhere {
            return self.value(name, elsewhere, depth + 1);
        }
        match kind(schema) {
            "string" => json!(self.word(name)),
            "integer" | "number" => number(schema),
            "boolean" => json!(true),
            "array" => {
                let item = schema.get("items").unwrap_or(&Value::Null);
                json!([self.value(name, item, depth + 1)])
            }
            "object" => self.object(schema, depth),
            "null" => Value::Null,
            _ if schema.get("properties").is_some() => self.object(schema, depth),
            _ => json!(self.word(name)),
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let required = schema.get("required").and_then(Value::as_array);
        let names = required.into_iter().flatten().filter_map(Value::as_str);
        let members = names.map(|name| {
            let schema = schema
                .get("properties")
                .and_then(|members| members.get(name));
            let value = self.value(name, schema.unwrap_or(&Value::Null), depth + 1);
            (name.to_owned(), value)
        });
        Value::Object(members.collect::<Map<_, _>>())
    }

    /// Follows a `$ref` within the schema.
    fn referred(&self, schema: &Value) -> Option<&Value> {
        let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(pointer)
    }

    fn word(&self, name: &str) -> &str {
        let name = name.to_lowercase();
        let place = name.contains("city") || name.contains("location");
        place
            .then(|| last_capitalised_word(self.prompt))
            .flatten()
            .unwrap_or("example")
    }
}

fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        // `["string", "null"]`: the first kind that is not null.
        Some(Value::Array(kinds)) => kinds
            .iter()
            .filter_map(Value::as_str)
            .find(|kind| *kind != "null")
            .unwrap_or("null"),
        _ => "",
    }
}

/// Returns 1, moved into the range that the schema allows.
fn number(schema: &Value) -> Value {
    let bound = |key| schema.get(key).and_then(Value::as_f64);
    if bound("minimum").is_some_and(|minimum| minimum > 1.0) {
        return schema.get("minimum").cloned().unwrap_or_default();
    }
    if bound("maximum").is_some_and(|maximum| maximum < 1.0) {
        return schema.get("maximum").cloned().unwrap_or_default();
    }
    json!(1)
}

fn last_capitalised_word(prompt: &str) -> Option<&str> {
    prompt
        .split_whitespace()
        .map(|word| word.trim_matches(|letter: char| !letter.is_alphanumeric()))
        .map(|word| word.strip_suffix("'s").unwrap_or(word))
        .rfind(|word| {
            let capital = word.chars().next().is_some_and(char::is_uppercase);
            capital && *word != "I" && !word.starts_with("I'")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: Value, prompt: &str, expected: Value) {
        assert_eq!(arguments(&schema, prompt), expected, "{schema}");
    }

    #[test]
    fn place_is_the_last_capitalised_word() {
        let schema = |name: &str| json!({"type": "object", "properties": {name: {"type": "string"}}, "required": [name]});
        let cases = [
            (
                "city",
                "Should I take an umbrella to Oslo?",
                json!({"city": "Oslo"}),
            ),
            (
                "location",
                "Is it raining in “Bergen”, or not",
                json!({"location": "Bergen"}),
            ),
            ("city", "What is Oslo's weather?", json!({"city": "Oslo"})),
            ("city", "what should I wear", json!({"city": "example"})),
            ("city", "", json!({"city": "example"})),
            ("query", "Find Oslo", json!({"query": "example"})),
        ];
        for (name, prompt, expected) in cases {
            check(schema(name), prompt, expected);
        }
    }

    #[test]
    fn only_required_members_are_given() {
        let schema = json!({
            "type": "object",
            "properties": {
                "count": {"type": "integer"}, "ratio": {"type": "number", "minimum": 2.5},
                "small": {"type": "number", "maximum": 0}, "deep": {"type": "boolean"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "unit": {"type": ["null", "string"], "enum": ["celsius", "fahrenheit"]},
                "inner": {"$ref": "#/$defs/Inner"}, "either": {"anyOf": [{"type": "integer"}]},
                "optional": {"type": "string"},
            },
            "required": ["count", "ratio", "small", "deep", "tags", "unit", "inner", "either"],
            "$defs": {"Inner": {"type": "object", "properties": {"x": {"type": "integer"}},
                                "required": ["x"]}},
        });
        let expected = json!({
            "count": 1, "ratio": 2.5, "small": 0, "deep": true, "tags": ["example"],
            "unit": "celsius", "inner": {"x": 1}, "either": 1,
        });

        check(schema, "", expected);
    }

    #[test]
    fn odd_schemas_still_give_an_object() {
        let endless = json!({
            "type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"],
        });

        assert!(arguments(&endless, "").is_object());
        for schema in [
            json!(null),
            json!(true),
            json!({"type": "string"}),
            json!({"$ref": 7}),
        ] {
            check(schema, "", json!({}));
        }
        check(json!({"required": ["a", 7]}), "", json!({}));
        check(
            json!({"type": "object", "required": ["a", 7]}),
            "",
            json!({"a": "example"}),
        );
    }
}
