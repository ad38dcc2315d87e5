use steadfast_core::{
    ContentBlock, MediaSource, Message, ModelErrorKind, Reasoning, Role, ToolResult, ToolUse,
};

use super::*;

fn write(request: &ModelRequest) -> Result<Value, ModelError> {
    write_for("gpt-5", request)
}

fn write_for(model: &str, request: &ModelRequest) -> Result<Value, ModelError> {
    let body = body(model, request)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn check(history: Vec<Message>, input: Value) {
    let body = write(&ModelRequest::new(history)).unwrap();
    assert_eq!(body["input"], input);
}

fn check_settings(request: &ModelRequest, fields: Value) {
    let mut expected = json!({"model": "gpt-5", "input": [said("Hi")], "stream": true,
        "store": false, "include": ["reasoning.encrypted_content"]});
    for (field, value) in fields.as_object().unwrap() {
        expected[field] = value.clone();
    }
    assert_eq!(write(request).unwrap(), expected);
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

fn own(item: Value) -> ContentBlock {
    ContentBlock::Opaque {
        data: json!({ OPAQUE_KEY: item }),
    }
}

fn thought(item: Value) -> ContentBlock {
    let own = json!({ OPAQUE_KEY: item });
    ContentBlock::Reasoning(Reasoning::new("Hm").with_opaque(own))
}

fn sealed() -> Value {
    json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"})
}

fn call(id: &str) -> ToolUse {
    ToolUse::new(id, "f", json!({"a": 1}))
}

fn said(text: &str) -> Value {
    let part = json!({"type": "input_text", "text": text});
    json!({"type": "message", "role": "user", "content": [part]})
}

fn answer(text: &str) -> Value {
    json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
}

fn wire_call(id: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{\"a\":1}"})
}

fn output(id: &str, output: Value) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": output})
}

#[test]
fn thoughts_go_back_as_they_came_before_their_calls() {
    let came = json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "e", "status": null,
        "summary": [{"type": "summary_text", "text": "Hm"}], "content": []});
    let back = json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "e",
        "summary": [{"type": "summary_text", "text": "Hm"}]});
    check(
        vec![
            assistant(vec![
                thought(came),
                ContentBlock::text("I look."),
                thought(sealed()),
                ContentBlock::ToolUse(call("a")),
                ContentBlock::ToolUse(call("b")),
            ]),
            Message::tool_results([
                ToolResult::ok(&call("a"), vec![ContentBlock::text("rain")]),
                ToolResult::error(&call("b"), " "),
            ]),
        ],
        json!([
            back,
            answer("I look."),
            sealed(),
            wire_call("a"),
            wire_call("b"),
            output("a", json!("rain")),
            output("b", json!("failed")),
        ]),
    );
}

#[test]
fn thoughts_that_nothing_came_of_stay_out() {
    check(
        vec![
            assistant(vec![thought(sealed())]),
            Message::user("Go on."),
            assistant(vec![ContentBlock::text("a"), thought(sealed())]),
            Message::assistant("b"),
        ],
        json!([said("Go on."), answer("a"), answer("b")]),
    );
}

#[test]
fn thoughts_without_content_go_back_only_where_they_are_stored() {
    let bare = json!({"type": "reasoning", "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm"}]});
    let open = json!({"type": "reasoning", "id": "rs_2", "summary": [],
        "content": [{"type": "reasoning_text", "text": "Hm"}]});
    let history = || {
        vec![assistant(vec![
            thought(bare.clone()),
            thought(open.clone()),
            ContentBlock::text("a"),
        ])]
    };

    check(history(), json!([open, answer("a")]));
    let settings = ModelSettings::new().extra("store", json!(true));
    let stored = write(&ModelRequest::new(history()).with_settings(settings)).unwrap();
    assert_eq!(stored["input"], json!([bare, open, answer("a")]));
    assert_eq!(stored["store"], true);
}

#[test]
fn reasoning_and_blocks_of_other_providers_stay_out() {
    let foreign = json!({"anthropic": {"signature": "s"}});
    check(
        vec![assistant(vec![
            ContentBlock::Reasoning(Reasoning::new("Hm")),
            ContentBlock::Reasoning(Reasoning::new("Hm").with_opaque(foreign.clone())),
            ContentBlock::Opaque { data: foreign },
            ContentBlock::Refusal { text: "No.".into() },
        ])],
        json!([answer("No.")]),
    );
}

#[test]
fn own_items_go_back_in_their_place() {
    let search = json!({"type": "web_search_call", "id": "ws_1", "status": "completed",
        "action": {"type": "search", "query": "x"}});
    let ran = json!({"type": "shell_call", "call_id": "s", "id": "sh_1"});
    let printed = json!({"type": "shell_call_output", "call_id": "s", "output": []});
    let waiting = json!({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"});
    let file = json!({"type": "input_file", "file_id": "file-1"});
    let approval = json!({"type": "mcp_approval_response", "approval_request_id": "m"});
    check(
        vec![
            assistant(vec![
                thought(sealed()),
                own(search.clone()),
                own(ran.clone()),
                own(printed.clone()),
                thought(sealed()),
                own(waiting),
                own(json!({"phase": "final_answer"})),
                ContentBlock::text("a"),
            ]),
            Message::new(
                Role::User,
                [
                    own(approval.clone()),
                    own(file.clone()),
                    ContentBlock::text("b"),
                ],
            ),
        ],
        json!([
            sealed(),
            search,
            ran,
            printed,
            {"type": "message", "role": "assistant",
                "content": [{"type": "output_text", "text": "a"}], "phase": "final_answer"},
            approval,
            {"type": "message", "role": "user",
                "content": [file, {"type": "input_text", "text": "b"}]},
        ]),
    );
}

#[test]
fn calls_go_out_with_identities_of_their_own() {
    let long = "é".repeat(70);
    let turn = |id: &str, name: &str, input: Value| {
        let call = ToolUse::new(id, name, input);
        let result = ToolResult::ok(&call, vec![]);
        [
            assistant(vec![ContentBlock::ToolUse(call)]),
            Message::tool_results([result]),
        ]
    };
    let turns = [
        turn("a", "f", json!({})),
        turn("a", "f g", json!(null)),
        turn("", "", json!("{\"cut")),
        turn(&long, "f", json!([1])),
    ];
    let expected = |id: &str, name: &str, arguments: &str| {
        let call = json!({"type": "function_call", "call_id": id, "name": name,
            "arguments": arguments});
        [call, output(id, json!(""))]
    };
    let on_wire = [
        expected("a", "f", "{}"),
        expected("a_2", "f_g", "null"),
        expected("call", "unknown", "{}"),
        expected(&long[..128], "f", "{}"),
    ];
    check(
        turns.into_iter().flatten().collect(),
        json!(on_wire.concat()),
    );
}

#[test]
fn results_come_first_and_carry_media() {
    let image = json!({"type": "input_image", "image_url": "http://h/i.png", "detail": "auto"});
    let foreign = ContentBlock::Opaque {
        data: json!({"gemini": {}}),
    };
    let media = vec![
        ContentBlock::text("seen"),
        ContentBlock::image_url("http://h/i.png"),
        foreign.clone(),
    ];
    let result = |id: &str, content| ContentBlock::ToolResult(ToolResult::ok(&call(id), content));
    check(
        vec![
            assistant(vec![
                ContentBlock::ToolUse(call("a")),
                ContentBlock::ToolUse(call("b")),
            ]),
            Message::new(
                Role::User,
                [
                    ContentBlock::text("and now?"),
                    result("a", media),
                    result(
                        "b",
                        vec![ContentBlock::text("x"), ContentBlock::text("y"), foreign],
                    ),
                ],
            ),
        ],
        json!([
            wire_call("a"),
            wire_call("b"),
            output("a", json!([{"type": "input_text", "text": "seen"}, image])),
            output("b", json!("xy")),
            said("and now?"),
        ]),
    );
}

#[test]
fn images_and_documents_go_out_as_parts() {
    let document = |source, name: Option<&str>| ContentBlock::Document {
        source,
        name: name.map(str::to_owned),
    };
    let base64 = || MediaSource::Base64 {
        media_type: "application/pdf".into(),
        data: "QQ==".into(),
    };
    let url = "http://h/a.pdf".to_owned();
    check(
        user(vec![
            ContentBlock::image_url("http://h/i.png"),
            ContentBlock::image_base64("image/png", "QQ=="),
            document(base64(), Some("a.pdf")),
            document(base64(), None),
            document(MediaSource::Url { url }, None),
        ]),
        json!([{"type": "message", "role": "user", "content": [
            {"type": "input_image", "image_url": "http://h/i.png", "detail": "auto"},
            {"type": "input_image", "image_url": "data:image/png;base64,QQ==", "detail": "auto"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="},
            {"type": "input_file", "filename": "document", "file_data": "data:application/pdf;base64,QQ=="},
            {"type": "input_file", "file_url": "http://h/a.pdf"}
        ]}]),
    );
}

#[test]
fn what_the_wire_cannot_say_is_refused_by_name() {
    let stop = hi().with_settings(ModelSettings::new().stop_sequences(["END"]));
    let calling = ModelRequest::new(user(vec![ContentBlock::ToolUse(call("a"))]));
    for (request, named) in [(stop, "stop sequences"), (calling, "a tool call")] {
        let error = write(&request).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Unsupported);
        assert!(error.message().contains(named), "{error}");
    }
}

#[test]
fn empty_texts_of_answers_stay_out() {
    check(
        vec![Message::user(""), Message::assistant(""), assistant(vec![])],
        json!([said("")]),
    );
    check(
        user(vec![]),
        json!([{"type": "message", "role": "user", "content": []}]),
    );
}

#[test]
fn settings_are_written_and_extra_wins() {
    check_settings(&hi(), json!({}));
    let settings = ModelSettings::new()
        .max_tokens(90)
        .temperature(0.5)
        .top_p(0.5);
    check_settings(
        &hi().with_settings(settings).with_system("Be brief."),
        json!({"max_output_tokens": 90, "temperature": 0.5, "top_p": 0.5,
            "instructions": "Be brief."}),
    );
    let settings = ModelSettings::new()
        .max_tokens(90)
        .extra("max_output_tokens", json!(70))
        .extra("include", json!([]))
        .extra("reasoning", json!({"effort": "low"}));
    check_settings(
        &hi().with_settings(settings),
        json!({"max_output_tokens": 70, "include": [], "reasoning": {"effort": "low"}}),
    );
}

#[test]
fn models_without_thoughts_are_not_asked_for_them() {
    for (model, asked) in [
        ("gpt-5", true),
        ("gpt-5.2-codex", true),
        ("o3-mini", true),
        ("grok-4", true),
        ("openai/gpt-oss-120b", true),
        ("gpt-4o", false),
        ("gpt-4.1-mini", false),
        ("openai/gpt-4o", false),
        ("ft:gpt-4o-mini:team::1", false),
        ("chatgpt-4o-latest", false),
        ("gpt-5-chat-latest", false),
    ] {
        let body = write_for(model, &hi()).unwrap();
        assert_eq!(body.get("include").is_some(), asked, "{model}");
    }
}

#[test]
fn tools_and_choices_are_written_as_the_wire_names_them() {
    let schema = json!({"type": "object"});
    let tool = ToolSpec::new("f", "Does.", schema.clone());
    let tools = json!([{"type": "function", "name": "f", "description": "Does.",
        "parameters": schema, "strict": false}]);
    for (choice, expected) in [
        (ToolChoice::Auto, json!("auto")),
        (ToolChoice::None, json!("none")),
        (ToolChoice::Required, json!("required")),
        (
            ToolChoice::Tool("f".into()),
            json!({"type": "function", "name": "f"}),
        ),
    ] {
        let settings = ModelSettings::new().tool_choice(choice);
        let request = hi().with_settings(settings);
        check_settings(
            &request.clone().with_tools([tool.clone()]),
            json!({"tools": tools, "tool_choice": expected}),
        );
        check_settings(&request, json!({}));
    }
}

#[test]
fn given_tools_stand_beside_the_agents() {
    let own = |name: &str| ToolSpec::new(name, "", json!({"type": "object"}));
    let given = json!([
        {"type": "web_search"},
        {"type": "function", "name": "g", "parameters": {}, "strict": true},
    ]);
    let settings = ModelSettings::new().extra("tools", given.clone());
    let request = hi().with_settings(settings);

    let both = write(&request.clone().with_tools([own("f"), own("g")])).unwrap();
    let alone = write(&request).unwrap();

    let f =
        json!({"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": false});
    assert_eq!(both["tools"], json!([f, given[0], given[1]]));
    assert_eq!(alone["tools"], given);
}
