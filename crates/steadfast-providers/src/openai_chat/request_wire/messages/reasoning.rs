//! Reasoning of earlier answers, and what came with their calls: they go back as they came, to the host
//! that gave them. To others they mean nothing, and some refuse the fields.

use serde_json::{Map, Value, json};
use steadfast_core::{ContentBlock, Message, Reasoning};

use crate::openai_chat::request_wire::OPAQUE_KEY;

/// Puts reasoning back into the fields in which it came.
pub(super) fn carry_back(reasoning: &Reasoning, host: &str, fields: &mut Map<String, Value>) {
    let Some(own) = own_data(reasoning, host) else {
        return;
    };
    if let Some(details) = own.get("reasoning_details") {
        fields.insert("reasoning_details".to_owned(), details.clone());
    }
    let has_details = own.contains_key("reasoning_details");
    if let Some(Value::String(field)) = own.get("text_in")
        && !has_details
    {
        let text = fields.entry(field.clone()).or_insert_with(|| json!(""));
        if let Value::String(text) = text {
            text.push_str(&reasoning.text);
        }
    }
}

/// Returns what came beside a call.
pub(super) fn beside_call<'a>(call: &str, message: &'a Message, host: &str) -> Option<&'a Value> {
    message.content.iter().find_map(|block| match block {
        ContentBlock::Reasoning(reasoning) => {
            own_data(reasoning, host)?.get("tool_calls")?.get(call)
        }
        _ => None,
    })
}

/// Returns what this wire put into a reasoning block when this host answered.
fn own_data<'a>(reasoning: &'a Reasoning, host: &str) -> Option<&'a Map<String, Value>> {
    let own = reasoning.opaque.as_ref()?.get(OPAQUE_KEY)?.as_object()?;
    let is_of_host = own.get("host").is_none_or(|of| of == host);
    is_of_host.then_some(own)
}
