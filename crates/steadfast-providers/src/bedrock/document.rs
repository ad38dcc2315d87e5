//! The SDK's form of JSON, turned into the usual one. Requests do not need it: they are written as
//! JSON at once.

use aws_smithy_types::{Document, Number};
use serde_json::Value;

/// Turns a document into JSON, every number as it is.
pub(super) fn to_value(document: &Document) -> Value {
    match document {
        Document::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), to_value(value)))
            .collect(),
        Document::Array(items) => items.iter().map(to_value).collect(),
        Document::Number(Number::PosInt(number)) => (*number).into(),
        Document::Number(Number::NegInt(number)) => (*number).into(),
        Document::Number(Number::Float(number)) => (*number).into(),
        Document::String(text) => text.clone().into(),
        Document::Bool(value) => (*value).into(),
        Document::Null => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_keep_their_size_and_kind() {
        let document = Document::Object(HashMap::from([(
            "a".to_owned(),
            Document::Array(vec![
                Document::Number(Number::PosInt(u64::MAX)),
                Document::Number(Number::NegInt(i64::MIN)),
                Document::Number(Number::Float(0.5)),
                Document::Null,
                Document::Bool(true),
                Document::String("é".to_owned()),
            ]),
        )]));

        let value = to_value(&document);

        assert_eq!(
            value,
            json!({"a": [u64::MAX, i64::MIN, 0.5, null, true, "é"]})
        );
    }
}
