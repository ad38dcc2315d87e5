mod server_calls;
mod thinking;

use serde_json::{Value, json};
use steadfast_core::{
    ContentBlock, MediaSource, Message, ModelErrorKind, Reasoning, Role, StopReason, ToolResult,
    ToolUse,
};

use super::*;
use crate::request_body::NO_PROMPT;

fn write(request: &ModelRequest) -> Result<Value, ModelError> {
    let body = body("claude-sonnet-4-5", request)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn check(history: Vec<Message>, messages: Value) {
    let body = write(&ModelRequest::new(history)).unwrap();
    assert_eq!(body["messages"], messages);
}

/// Checks what follows a prompt.
fn check_behind_hi(rest: Vec<Message>, messages: &Value) {
    let history = [vec![Message::user("Hi")], rest].concat();
    let mut expected = vec![said_hi()];
    expected.extend(messages.as_array().unwrap().iter().cloned());
    check(history, expected.into());
}

fn check_settings(request: ModelRequest, fields: Value) {
    let mut expected = json!({"model": "claude-sonnet-4-5", "max_tokens": 64_000, "stream": true,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]});
    for (field, value) in fields.as_object().unwrap() {
        expected[field] = value.clone();
    }
    assert_eq!(write(&request).unwrap(), expected);
}

fn hi() -> ModelRequest {
    ModelRequest::new([Message::user("Hi")])
}

fn user(content: Vec<ContentBlock>) -> Vec<Message> {
    vec![Message::new(Role::User, content)]
}

fn assistant(content: Vec<ContentBlock>) -> Message {
    Message::new(Role::Assistant, content)
}

/// An answer between two prompts.
fn answered(answer: Message) -> Vec<Message> {
    vec![Message::user("Hi"), answer, Message::user("Go on.")]
}

fn said_hi() -> Value {
    json!({"role": "user", "content": [text("Hi")]})
}

fn go_on() -> Value {
    json!({"role": "user", "content": [{"type": "text", "text": "Go on."}]})
}

fn check_answer(answer: Message, content: Value) {
    let expected = json!([said_hi(), {"role": "assistant", "content": content}, go_on()]);
    check(answered(answer), expected);
}

fn reasoning(text: &str, own: Value) -> ContentBlock {
    ContentBlock::Reasoning(Reasoning::new(text).with_opaque(json!({ OPAQUE_KEY: own })))
}

fn own(block: Value) -> ContentBlock {
    ContentBlock::Opaque {
        data: json!({ OPAQUE_KEY: block }),
    }
}

fn base64(media_type: &str, data: &str) -> MediaSource {
    MediaSource::Base64 {
        media_type: media_type.into(),
        data: data.into(),
    }
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn server_call(id: &str) -> Value {
    json!({"type": "server_tool_use", "id": id, "input": {}})
}

#[test]
fn neighbours_of_one_role_become_one_message() {
    check(
        vec![
            Message::user("a"),
            Message::user("b"),
            assistant(vec![]),
            Message::user("c"),
            Message::assistant("d"),
            Message::assistant("e"),
            Message::user("f"),
        ],
        json!([
            {"role": "user", "content": [text("a"), text("b"), text("c")]},
            {"role": "assistant", "content": [text("d"), text("e")]},
            {"role": "user", "content": [text("f")]}
        ]),
    );
}

#[test]
fn texts_that_say_nothing_are_never_sent() {
    let call = ToolUse::new("a", "f", json!({}));
    check(
        vec![
            Message::new(
                Role::User,
                [ContentBlock::text(""), ContentBlock::text("a")],
            ),
            assistant(vec![
                ContentBlock::text(" \n"),
                ContentBlock::ToolUse(call.clone()),
            ]),
            Message::tool_results([ToolResult::ok(&call, vec![ContentBlock::text("")])]),
        ],
        json!([
            {"role": "user", "content": [text("a")]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": []}]}
        ]),
    );
    check_settings(hi().with_system(" "), json!({}));
}

#[test]
fn failure_without_words_says_that_it_failed() {
    let call = ToolUse::new("a", "f", json!({}));
    let result = json!({"type": "tool_result", "tool_use_id": "a", "content": [text("failed")],
        "is_error": true});
    check(
        vec![Message::tool_results([ToolResult::error(&call, " ")])],
        json!([{"role": "user", "content": [result]}]),
    );
}

#[test]
fn blank_prompt_is_refused_instead_of_left_out() {
    let foreign = ContentBlock::Opaque {
        data: json!({"gemini": {}}),
    };
    for prompt in [Message::user(" "), Message::new(Role::User, [foreign])] {
        let history = [Message::user("a"), Message::assistant("b"), prompt];
        let error = write(&ModelRequest::new(history)).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::InvalidRequest);
        assert!(error.message().contains("says nothing"), "{error}");
    }
    let history = [Message::user("a"), Message::user(" ")];
    assert!(write(&ModelRequest::new(history)).is_ok());
}

#[test]
fn prompt_goes_before_an_answer_that_begins() {
    check(
        vec![Message::assistant("Welcome!"), Message::user("Hi")],
        json!([
            {"role": "user", "content": [text(NO_PROMPT)]},
            {"role": "assistant", "content": [text("Welcome!")]},
            said_hi(),
        ]),
    );
}

#[test]
fn calls_go_out_with_identities_of_their_own() {
    let turn = |id: &str, name: &str| {
        let call = ToolUse::new(id, name, json!({}));
        let result = ToolResult::ok(&call, vec![]);
        [
            assistant(vec![ContentBlock::ToolUse(call)]),
            Message::tool_results([result]),
        ]
    };
    let expected = |id: &str, name: &str| {
        let call = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
        let result = json!({"type": "tool_result", "tool_use_id": id, "content": []});
        [
            json!({"role": "assistant", "content": [call]}),
            json!({"role": "user", "content": [result]}),
        ]
    };
    let turns = [turn("f.1", "f"), turn("f:1", "f g"), turn("", "")];
    let on_wire = [
        expected("f_1", "f"),
        expected("f_1_2", "f_g"),
        expected("call", "unknown"),
    ];
    check_behind_hi(
        turns.into_iter().flatten().collect(),
        &json!(on_wire.concat()),
    );
}

#[test]
fn last_answer_loses_its_trailing_white_space() {
    check(
        vec![Message::user("a"), Message::assistant(" b \n")],
        json!([
            {"role": "user", "content": [text("a")]},
            {"role": "assistant", "content": [text(" b")]}
        ]),
    );
    check_answer(Message::assistant("b "), json!([text("b ")]));
}

#[test]
fn results_come_first_and_say_whether_they_failed() {
    let call = |id: &str| ToolUse::new(id, "f", json!({}));
    check_behind_hi(
        vec![
            assistant(vec![
                ContentBlock::ToolUse(call("a")),
                ContentBlock::ToolUse(call("b")),
            ]),
            Message::new(
                Role::User,
                [
                    ContentBlock::text("and now?"),
                    ContentBlock::ToolResult(ToolResult::ok(
                        &call("a"),
                        vec![
                            ContentBlock::text("rain"),
                            ContentBlock::image_base64("image/png", "QQ=="),
                        ],
                    )),
                ],
            ),
            Message::tool_results([ToolResult::error(&call("b"), "broken")]),
        ],
        &json!([
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "a", "name": "f", "input": {}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {}}
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": [
                    text("rain"),
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}}
                ]},
                {"type": "tool_result", "tool_use_id": "b", "content": [text("broken")], "is_error": true},
                text("and now?")
            ]}
        ]),
    );
}

#[test]
fn arguments_that_are_no_object_are_wrapped() {
    for (input, expected) in [
        (json!({"a": 1}), json!({"a": 1})),
        (json!("{\"a\": cut"), json!({"input": "{\"a\": cut"})),
        (json!([1]), json!({"input": [1]})),
        (json!(null), json!({})),
    ] {
        let call = ContentBlock::ToolUse(ToolUse::new("a", "f", input));
        let block = json!({"type": "tool_use", "id": "a", "name": "f", "input": expected});
        check_answer(assistant(vec![call]), json!([block]));
    }
}

#[test]
fn identities_of_other_providers_are_made_acceptable() {
    let call = ToolUse::new("call_1|fc:2", "f", json!({}));
    check_behind_hi(
        vec![
            assistant(vec![ContentBlock::ToolUse(call.clone())]),
            Message::tool_results([ToolResult::ok(&call, vec![])]),
        ],
        &json!([
            {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1_fc_2", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1_fc_2", "content": []}]}
        ]),
    );
}

#[test]
fn images_and_documents_go_out_as_blocks() {
    let document = |source, name: Option<&str>| ContentBlock::Document {
        source,
        name: name.map(str::to_owned),
    };
    let url = "http://h/a".to_owned();
    check(
        user(vec![
            ContentBlock::image_url("http://h/i.png"),
            ContentBlock::image_base64("image/png", "QQ=="),
            document(base64("application/pdf", "QQ=="), Some("a.pdf")),
            document(MediaSource::Url { url }, None),
            document(base64("text/markdown", "R3LDvMOfZQ\n=="), None),
        ]),
        json!([{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": "http://h/i.png"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="}, "title": "a.pdf"},
            {"type": "document", "source": {"type": "url", "url": "http://h/a"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}}
        ]}]),
    );
    for broken in ["$", "/w=="] {
        let history = user(vec![document(base64("text/plain", broken), None)]);
        let error = write(&ModelRequest::new(history)).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::InvalidRequest, "{broken}");
    }
}

#[test]
fn own_blocks_go_back_as_they_came() {
    let call =
        json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}});
    let result =
        json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"x": 1}]});
    check_answer(
        assistant(vec![
            own(call.clone()),
            own(result.clone()),
            ContentBlock::text("a"),
        ]),
        json!([call, result, text("a")]),
    );
    let upload = json!({"type": "container_upload", "file_id": "f"});
    check(
        user(vec![own(upload.clone())]),
        json!([{"role": "user", "content": [upload]}]),
    );
}

#[test]
fn settings_are_written_and_extra_wins() {
    check_settings(hi(), json!({}));
    let settings = ModelSettings::new()
        .max_tokens(9)
        .temperature(0.5)
        .top_p(0.5)
        .stop_sequences(["END"]);
    check_settings(
        hi().with_settings(settings).with_system("Be brief."),
        json!({"max_tokens": 9, "temperature": 0.5, "top_p": 0.5, "stop_sequences": ["END"],
            "system": "Be brief."}),
    );
    let settings = ModelSettings::new()
        .max_tokens(9)
        .extra("max_tokens", json!(7))
        .extra("system", json!([{"type": "text", "text": "x"}]))
        .extra("thinking", json!({"type": "adaptive"}));
    check_settings(
        hi().with_settings(settings).with_system("Be brief."),
        json!({"max_tokens": 7, "system": [{"type": "text", "text": "x"}],
            "thinking": {"type": "adaptive"}}),
    );
}

#[test]
fn tools_and_choices_are_written_as_the_wire_names_them() {
    let schema = json!({"type": "object"});
    let tool = ToolSpec::new("f", "Does.", schema.clone());
    let tools = json!([{"name": "f", "description": "Does.", "input_schema": schema}]);
    for (choice, expected) in [
        (ToolChoice::Auto, json!({"type": "auto"})),
        (ToolChoice::None, json!({"type": "none"})),
        (ToolChoice::Required, json!({"type": "any"})),
        (
            ToolChoice::Tool("f".into()),
            json!({"type": "tool", "name": "f"}),
        ),
    ] {
        let settings = ModelSettings::new().tool_choice(choice);
        check_settings(
            hi().with_tools([tool.clone()])
                .with_settings(settings.clone()),
            json!({"tools": tools, "tool_choice": expected}),
        );
        check_settings(hi().with_settings(settings), json!({}));
    }
}

#[test]
fn given_tools_stand_beside_the_agents() {
    let search = json!({"type": "web_search_20250305", "name": "web_search"});
    let settings = ModelSettings::new().extra("tools", json!([search]));
    let tool = ToolSpec::new("f", "", json!({"type": "object"}));

    let body = write(&hi().with_settings(settings).with_tools([tool])).unwrap();

    let own = json!({"name": "f", "input_schema": {"type": "object"}});
    assert_eq!(body["tools"], json!([own, search]));
}
