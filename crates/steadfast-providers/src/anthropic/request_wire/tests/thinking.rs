//! Thinking: where it stands, what goes back, and when it is off.

use super::*;

#[test]
fn answers_never_end_in_thinking() {
    let thought = || reasoning("Hm", json!({"signature": "s"}));
    let sealed = || reasoning("", json!({"data": "d"}));
    check_answer(
        assistant(vec![
            thought(),
            ContentBlock::text("a"),
            thought(),
            sealed(),
            ContentBlock::text(" "),
            own(server_call("never answered")),
        ]),
        json!([{"type": "thinking", "thinking": "Hm", "signature": "s"}, text("a")]),
    );
    check(
        vec![
            Message::user("a"),
            assistant(vec![thought()]),
            assistant(vec![sealed()]),
            Message::user("b"),
        ],
        json!([{"role": "user", "content": [text("a"), text("b")]}]),
    );
}

#[test]
fn thinking_is_off_where_calls_without_it_are_answered() {
    let call = ToolUse::new("a", "f", json!({}));
    let answering = |thought: Option<ContentBlock>| {
        let call = ContentBlock::ToolUse(call.clone());
        let results =
            Message::tool_results([ToolResult::ok(&ToolUse::new("a", "f", json!({})), vec![])]);
        ModelRequest::new([
            assistant(thought.into_iter().chain([call]).collect()),
            results,
        ])
    };
    let thought = || Some(reasoning("Hm", json!({"signature": "s"})));
    for (kind, thought, sent) in [
        ("enabled", None, false),
        ("enabled", thought(), true),
        ("adaptive", None, true),
    ] {
        let settings = ModelSettings::new().extra("thinking", json!({"type": kind}));
        let body = write(&answering(thought).with_settings(settings)).unwrap();
        assert_eq!(body.get("thinking").is_some(), sent, "{kind}");
    }
}

#[test]
fn thinking_stays_on_in_a_loop_that_began_with_it() {
    let call = |id: &str| ToolUse::new(id, "f", json!({}));
    let thought = reasoning("Hm", json!({"signature": "s"}));
    let request = ModelRequest::new([
        Message::user("Hi"),
        assistant(vec![thought, ContentBlock::ToolUse(call("a"))]),
        Message::tool_results([ToolResult::ok(&call("a"), vec![])]),
        // Without interleaving, the model thinks before its first call of a turn only.
        assistant(vec![ContentBlock::ToolUse(call("b"))]),
        Message::tool_results([ToolResult::ok(&call("b"), vec![])]),
    ]);
    let settings = ModelSettings::new().extra("thinking", json!({"type": "enabled"}));

    let body = write(&request.with_settings(settings)).unwrap();

    assert_eq!(body["thinking"], json!({"type": "enabled"}));
}

#[test]
fn thinking_goes_back_in_its_place() {
    check_answer(
        assistant(vec![
            reasoning("Hm", json!({"signature": "s1"})),
            ContentBlock::text("a"),
            reasoning("", json!({"data": "d"})),
            reasoning("", json!({"signature": "s2"})),
            ContentBlock::ToolUse(ToolUse::new("a", "f", json!({}))),
        ]),
        json!([
            {"type": "thinking", "thinking": "Hm", "signature": "s1"},
            text("a"),
            {"type": "redacted_thinking", "data": "d"},
            {"type": "thinking", "thinking": "", "signature": "s2"},
            {"type": "tool_use", "id": "a", "name": "f", "input": {}}
        ]),
    );
}

#[test]
fn reasoning_and_blocks_of_other_providers_stay_out() {
    check_answer(
        assistant(vec![
            ContentBlock::Reasoning(Reasoning::new("Hm")),
            ContentBlock::Reasoning(
                Reasoning::new("Hm").with_opaque(json!({"openai_chat": {"text_in": "reasoning"}})),
            ),
            ContentBlock::Opaque {
                data: json!({"gemini": {"type": "text", "text": "x"}}),
            },
            ContentBlock::Refusal { text: "No.".into() },
        ]),
        json!([text("No.")]),
    );
}

#[test]
fn unsigned_thinking_goes_back_whole_and_to_servers_that_never_sign() {
    let unsigned = |model: &str, stop_reason| {
        let thought = reasoning("Hm", json!({"signature": ""}));
        let mut message = assistant(vec![thought, ContentBlock::text("x")]);
        message.stop_reason = stop_reason;
        let body = body(model, &ModelRequest::new(answered(message))).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["messages"][1]["content"].clone()
    };
    let thought = json!({"type": "thinking", "thinking": "Hm", "signature": ""});
    for stop_reason in [
        StopReason::EndTurn,
        StopReason::ToolUse,
        StopReason::StopSequence,
    ] {
        let whole = unsigned("deepseek-chat", Some(stop_reason));
        assert_eq!(whole, json!([thought, text("x")]));
        let signing = unsigned("claude-sonnet-4-5", Some(stop_reason));
        assert_eq!(signing, json!([text("x")]));
    }
    for cut in [Some(StopReason::MaxTokens), Some(StopReason::Refusal), None] {
        assert_eq!(
            unsigned("deepseek-chat", cut),
            json!([text("x")]),
            "{cut:?}"
        );
    }
}
