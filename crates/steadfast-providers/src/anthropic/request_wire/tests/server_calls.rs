//! Calls that the provider makes itself, and answers that were paused.

use super::*;

fn server_result(id: &str) -> Value {
    json!({"type": "web_search_tool_result", "tool_use_id": id})
}

/// An answer that ended early: one call has its result, another has none.
fn ended_early(stop_reason: StopReason) -> Message {
    let mut message = assistant(vec![
        own(server_call("a")),
        own(server_result("a")),
        own(server_call("b")),
    ]);
    message.stop_reason = Some(stop_reason);
    message
}

#[test]
fn calls_that_will_never_be_answered_stay_out() {
    for stop_reason in [
        StopReason::MaxTokens,
        StopReason::PauseTurn,
        StopReason::Refusal,
        StopReason::EndTurn,
    ] {
        let expected = json!([server_call("a"), server_result("a")]);
        check_answer(ended_early(stop_reason), expected);
    }
    let mut nothing_else = assistant(vec![own(server_call("b"))]);
    nothing_else.stop_reason = Some(StopReason::PauseTurn);
    check(
        vec![Message::user("a"), nothing_else, Message::user("b")],
        json!([{"role": "user", "content": [text("a"), text("b")]}]),
    );
}

#[test]
fn paused_answer_goes_back_whole() {
    let calls = json!([server_call("a"), server_result("a"), server_call("b")]);
    check(
        vec![Message::user("a"), ended_early(StopReason::PauseTurn)],
        json!([{"role": "user", "content": [text("a")]}, {"role": "assistant", "content": calls}]),
    );
    let rest = assistant(vec![own(server_result("b")), ContentBlock::text("Blue.")]);
    let whole = json!([
        server_call("a"),
        server_result("a"),
        server_call("b"),
        server_result("b"),
        text("Blue.")
    ]);
    check_behind_hi(
        vec![
            ended_early(StopReason::PauseTurn),
            rest,
            Message::user("Go on."),
        ],
        &json!([{"role": "assistant", "content": whole}, go_on()]),
    );
}

#[test]
fn call_of_the_providers_waits_for_the_tools_beside_it() {
    let call = ToolUse::new("a", "f", json!({}));
    let mut calling = assistant(vec![
        own(server_call("s")),
        ContentBlock::ToolUse(call.clone()),
    ]);
    calling.stop_reason = Some(StopReason::ToolUse);
    let results = Message::tool_results([ToolResult::ok(&call, vec![])]);
    let content = |history: Vec<Message>| {
        let history = [vec![Message::user("Hi")], history].concat();
        let body = write(&ModelRequest::new(history)).unwrap();
        body["messages"][1]["content"][0]["type"].clone()
    };
    let waiting = vec![calling, results];
    assert_eq!(content(waiting.clone()), "server_tool_use");

    let answer = assistant(vec![own(server_result("s")), ContentBlock::text("x")]);
    let answered = [waiting.clone(), vec![answer, Message::user("b")]].concat();
    assert_eq!(content(answered), "server_tool_use");

    let forgotten = [waiting, vec![Message::assistant("x"), Message::user("b")]].concat();
    assert_eq!(content(forgotten), "tool_use");
}
