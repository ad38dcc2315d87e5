//! What the simulator answers when nobody told it what to answer.
//!
//! It understands nothing. It does just enough for an agent loop to go all the way round: call a
//! tool, read its result, say something.

use crate::conversation::{OfferedTool, ToolChoice};
use crate::schema_arguments::arguments;
use crate::{Answer, ChatRequest};

pub(crate) fn answer(request: &ChatRequest) -> Answer {
    let results = request.tool_results();
    if !results.is_empty() {
        let found = results
            .iter()
            .map(|result| format!("{}: {}", result.name, result.content.trim()))
            .collect::<Vec<_>>()
            .join("; ");
        let stop = if found.ends_with(['.', '!', '?']) {
            ""
        } else {
            "."
        };
        return Answer::text(format!("I looked it up with {found}{stop}"));
    }
    let prompt = request.prompt();
    match chosen_tool(request) {
        Some(tool) => Answer::tool_call(tool.name, arguments(tool.schema, &prompt)),
        None => Answer::text(format!(
            "This is the Steadfast simulator, not a model. You said: “{}”",
            prompt.trim()
        )),
    }
}

/// Returns the tool that the request demands, or else the first one that it offers.
fn chosen_tool(request: &ChatRequest) -> Option<OfferedTool<'_>> {
    let mut tools = request.offered_tools().into_iter();
    match request.tool_choice() {
        ToolChoice::None => None,
        ToolChoice::Any => tools.next(),
        ToolChoice::Named(name) => tools.find(|tool| tool.name == name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Wire;

    fn with(mut extra: Value) -> ChatRequest {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        let mut body = json!({
            "model": "sim",
            "messages": [{"role": "user", "content": "Hello there"}],
            "tools": [tool("first"), tool("second")],
        });
        if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object_mut()) {
            body.append(extra);
        }
        ChatRequest::new(body)
    }

    #[test]
    fn first_tool_is_called_unless_another_is_demanded() {
        let cases = [
            (json!({}), Answer::tool_call("first", json!({}))),
            (
                json!({"tool_choice": {"type": "function", "function": {"name": "second"}}}),
                Answer::tool_call("second", json!({})),
            ),
        ];
        for (extra, expected) in cases {
            assert_eq!(answer(&with(extra)), expected);
        }
    }

    #[test]
    fn anthropics_tools_are_called_as_well() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}},
                            "required": ["city"]});
        let tools = json!([
            {"type": "web_search_20250305", "name": "web_search"},
            {"name": "first", "input_schema": schema},
            {"name": "second", "input_schema": {"type": "object"}},
        ]);
        let cases = [
            (
                json!({"type": "auto"}),
                Answer::tool_call("first", json!({"city": "Oslo"})),
            ),
            (
                json!({"type": "tool", "name": "second"}),
                Answer::tool_call("second", json!({})),
            ),
        ];
        for (choice, expected) in cases {
            let body = json!({
                "messages": [{"role": "user", "content": "Is it raining in Oslo?"}],
                "tools": tools,
                "tool_choice": choice,
            });

            let request = ChatRequest::for_wire(Wire::Anthropic, body);

            assert_eq!(answer(&request), expected);
        }
    }

    #[test]
    fn prompt_is_quoted_without_tools() {
        for extra in [json!({"tools": []}), json!({"tool_choice": "none"})] {
            let expected = "This is the Steadfast simulator, not a model. You said: “Hello there”";

            assert_eq!(answer(&with(extra)), Answer::text(expected));
        }
    }

    #[test]
    fn tool_results_become_a_sentence() {
        let request = with(json!({"messages": [
            {"role": "assistant", "tool_calls": [
                {"id": "1", "function": {"name": "get_weather"}},
                {"id": "2", "function": {"name": "get_time"}},
            ]},
            {"role": "tool", "tool_call_id": "1", "content": "Oslo: rain, 7 °C"},
            {"role": "tool", "tool_call_id": "2", "content": "noon\n"},
        ]}));

        let expected = "I looked it up with get_weather: Oslo: rain, 7 °C; get_time: noon.";

        assert_eq!(answer(&request), Answer::text(expected));
    }
}
