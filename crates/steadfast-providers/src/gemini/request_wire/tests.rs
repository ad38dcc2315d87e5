use serde_json::{Value, json};
use steadfast_core::{
    ContentBlock, MediaSource, Message, ModelErrorKind, Reasoning, Role, ToolResult, ToolUse,
};

use super::*;
use crate::request_body::NO_PROMPT;

fn write(model: &str, request: &ModelRequest) -> Result<Value, ModelError> {
    let body = body(model, request)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn check(history: Vec<Message>, contents: Value) {
    let body = write("gemini-2.5-flash", &ModelRequest::new(history)).unwrap();
    assert_eq!(body["contents"], contents);
}

fn check_settings(request: ModelRequest, fields: Value) {
    let mut expected = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]});
    for (field, value) in fields.as_object().unwrap() {
        expected[field] = value.clone();
    }
    assert_eq!(write("gemini-2.5-flash", &request).unwrap(), expected);
}

fn hi() -> ModelRequest {
    ModelRequest::new([Message::user("Hi")])
}

fn set(settings: ModelSettings) -> ModelRequest {
    hi().with_settings(settings)
}

fn tool(name: &str, description: &str) -> ToolSpec {
    ToolSpec::new(name, description, json!({"type": "object"}))
}

/// Checks an answer between two prompts.
fn check_answer(content: Vec<ContentBlock>, parts: Value) {
    let said = |text: &str| json!({"role": "user", "parts": [{"text": text}]});
    check(
        vec![
            Message::user("Hi"),
            Message::new(Role::Assistant, content),
            Message::user("Go on."),
        ],
        json!([said("Hi"), {"role": "model", "parts": parts}, said("Go on.")]),
    );
}

fn own(part: Value) -> ContentBlock {
    ContentBlock::Opaque {
        data: json!({ OPAQUE_KEY: part }),
    }
}

fn reasoning(text: &str, own: Value) -> ContentBlock {
    ContentBlock::Reasoning(Reasoning::new(text).with_opaque(json!({ OPAQUE_KEY: own })))
}

fn call(id: &str, name: &str, input: Value) -> ContentBlock {
    ContentBlock::ToolUse(ToolUse::new(id, name, input))
}

fn result(id: &str, name: &str, content: Vec<ContentBlock>) -> ToolResult {
    ToolResult::ok(&ToolUse::new(id, name, Value::Null), content)
}

#[test]
fn settings_become_the_vendors_fields() {
    check_settings(hi(), json!({}));
    check_settings(
        hi().with_system("Be brief."),
        json!({"systemInstruction": {"parts": [{"text": "Be brief."}]}}),
    );
    let settings = ModelSettings::new()
        .max_tokens(9)
        .temperature(0.5)
        .top_p(0.9)
        .stop_sequences(["END"]);
    check_settings(
        set(settings),
        json!({"generationConfig": {"maxOutputTokens": 9, "temperature": 0.5, "topP": 0.9,
            "stopSequences": ["END"]}}),
    );
}

#[test]
fn fields_of_the_users_own_win_and_are_merged() {
    let settings = ModelSettings::new()
        .max_tokens(9)
        .temperature(0.5)
        .tool_choice(ToolChoice::Required)
        .extra("generationConfig", json!({"temperature": 1, "seed": 3}))
        .extra("toolConfig", json!({"retrievalConfig": {}}))
        .extra("tools", json!([{"googleSearch": {}}]))
        .extra("safetySettings", json!([]));
    let request = set(settings).with_tools([tool("now", "")]);
    let declared = json!({"name": "now", "parametersJsonSchema": {"type": "object"}});
    check_settings(
        request,
        json!({
            "generationConfig": {"maxOutputTokens": 9, "temperature": 1, "seed": 3},
            "toolConfig": {"retrievalConfig": {}, "functionCallingConfig": {"mode": "ANY"}},
            "tools": [{"googleSearch": {}}, {"functionDeclarations": [declared]}],
            "safetySettings": [],
        }),
    );
}

#[test]
fn choices_among_tools_are_told_where_there_are_tools() {
    for (choice, expected) in [
        (ToolChoice::Auto, json!({"mode": "AUTO"})),
        (ToolChoice::None, json!({"mode": "NONE"})),
        (ToolChoice::Required, json!({"mode": "ANY"})),
        (
            ToolChoice::Tool("now".into()),
            json!({"mode": "ANY", "allowedFunctionNames": ["now"]}),
        ),
    ] {
        let settings = ModelSettings::new().tool_choice(choice);
        check_settings(set(settings.clone()), json!({}));
        let body = write("m", &set(settings).with_tools([tool("now", "Tells.")])).unwrap();
        assert_eq!(body["toolConfig"]["functionCallingConfig"], expected);
        let declared = &body["tools"][0]["functionDeclarations"][0];
        assert_eq!(declared["description"], "Tells.");
    }
}

#[test]
fn answers_go_back_part_by_part_with_their_signatures() {
    check_answer(
        vec![
            reasoning("a", json!({})),
            reasoning("b", json!({"thoughtSignature": "s"})),
            ContentBlock::text("cdé"),
            own(json!({"signs": 3, "thoughtSignature": "t"})),
            own(json!({"executableCode": {"code": "1"}})),
            call("c7", "f", json!({"x": 1})),
            own(json!({"signs": "call", "thoughtSignature": "u"})),
            call("unnumbered_1", "g", Value::Null),
            own(json!({"text": "", "thoughtSignature": "v"})),
        ],
        json!([
            {"text": "a", "thought": true},
            {"text": "b", "thought": true, "thoughtSignature": "s"},
            {"text": "c"},
            {"text": "dé", "thoughtSignature": "t"},
            {"executableCode": {"code": "1"}},
            {"functionCall": {"id": "c7", "name": "f", "args": {"x": 1}}, "thoughtSignature": "u"},
            {"functionCall": {"name": "g", "args": {}}},
            {"text": "", "thoughtSignature": "v"},
        ]),
    );
}

#[test]
fn prompt_goes_before_an_answer_that_begins() {
    check(
        vec![Message::assistant("Welcome!"), Message::user("Hi")],
        json!([
            {"role": "user", "parts": [{"text": NO_PROMPT}]},
            {"role": "model", "parts": [{"text": "Welcome!"}]},
            {"role": "user", "parts": [{"text": "Hi"}]},
        ]),
    );
    // What says nothing begins nothing.
    check(
        vec![Message::assistant(""), Message::user("Hi")],
        json!([{"role": "user", "parts": [{"text": "Hi"}]}]),
    );
}

#[test]
fn signatures_of_what_is_no_longer_there_stay_out() {
    let signed_call = own(json!({"signs": "call", "thoughtSignature": "s"}));
    let signed_text = |length: u64| own(json!({"signs": length, "thoughtSignature": "s"}));
    let text = ContentBlock::text("é");
    let plain = json!([{"text": "é"}]);
    let signed = json!([{"text": "é", "thoughtSignature": "s"}]);
    check_answer(vec![signed_text(1), text.clone()], plain.clone());
    check_answer(vec![text.clone(), signed_call], plain);
    // A length that is none of this text: all of it is signed.
    check_answer(vec![text.clone(), signed_text(9)], signed.clone());
    check_answer(vec![text, signed_text(1)], signed);
}

#[test]
fn what_other_providers_thought_stays_out() {
    check_answer(
        vec![
            ContentBlock::Reasoning(Reasoning::new("a")),
            ContentBlock::Reasoning(
                Reasoning::new("b").with_opaque(json!({"anthropic": {"signature": "s"}})),
            ),
            ContentBlock::Opaque {
                data: json!({"anthropic": {"type": "x"}}),
            },
            ContentBlock::Refusal { text: "No.".into() },
        ],
        json!([{"text": "No."}]),
    );
}

#[test]
fn first_call_without_a_signature_says_so_to_models_that_want_one() {
    let history = [
        Message::user("Hi"),
        Message::new(
            Role::Assistant,
            [call("a", "f", json!({})), call("b", "g", json!({}))],
        ),
        Message::tool_results([result("a", "f", vec![]), result("b", "g", vec![])]),
    ];
    let request = ModelRequest::new(history);
    for (model, expected) in [
        ("gemini-2.5-flash", Value::Null),
        ("gemma-3", Value::Null),
        ("gemini-flash-latest", Value::Null),
        (
            "gemini-3-flash-preview",
            json!("skip_thought_signature_validator"),
        ),
        ("gemini-3.1-pro", json!("skip_thought_signature_validator")),
        ("gemini-10", json!("skip_thought_signature_validator")),
    ] {
        let body = write(model, &request).unwrap();
        let parts = &body["contents"][1]["parts"];
        assert_eq!(parts[0]["thoughtSignature"], expected, "{model}");
        assert_eq!(parts[1]["thoughtSignature"], Value::Null, "{model}");
    }
}

#[test]
fn results_come_first_under_the_identity_of_their_call() {
    let image = ContentBlock::image_base64("image/png", "QQ==");
    let failed = ToolResult::error(&ToolUse::new("b", "g", Value::Null), " ");
    let mut answered = Message::tool_results([
        result("a", "f", vec![ContentBlock::text("seen"), image]),
        failed,
        result("unnumbered_2", "", vec![]),
    ]);
    answered.content.insert(0, ContentBlock::text("By the way"));
    let calls = [
        call("a", "f", json!([1])),
        call("b", "g", json!({})),
        call("unnumbered_2", "", json!({})),
    ];
    check(
        vec![
            Message::user("Hi"),
            Message::new(Role::Assistant, calls),
            answered,
        ],
        json!([
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [
                {"functionCall": {"id": "a", "name": "f", "args": {"input": [1]}}},
                {"functionCall": {"id": "b", "name": "g", "args": {}}},
                {"functionCall": {"name": "unknown", "args": {}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "a", "name": "f", "response": {"output": "seen"}}},
                {"functionResponse": {"id": "b", "name": "g", "response": {"error": "failed"}}},
                {"functionResponse": {"name": "unknown", "response": {"output": ""}}},
                {"text": "By the way"},
                {"text": "From the tool `f`:"},
                {"inlineData": {"mimeType": "image/png", "data": "QQ=="}},
            ]},
        ]),
    );
}

#[test]
fn names_are_words_that_begin_like_one() {
    let long = "é".repeat(70);
    for (name, expected) in [
        ("get.weather:now-1", "get.weather:now-1".to_owned()),
        ("", "unknown".to_owned()),
        ("get weather", "get_weather".to_owned()),
        ("1st", "_1st".to_owned()),
        (&long, "_".repeat(64)),
    ] {
        check_answer(
            vec![call("unnumbered_0", name, json!({}))],
            json!([{"functionCall": {"name": expected, "args": {}}}]),
        );
    }
}

#[test]
fn media_go_as_data_or_as_the_address_of_a_file() {
    let document = |source, name: Option<&str>| ContentBlock::Document {
        source,
        name: name.map(str::to_owned),
    };
    let pdf = MediaSource::Base64 {
        media_type: "application/pdf".into(),
        data: "QQ==".into(),
    };
    let at = |url: &str| MediaSource::Url { url: url.into() };
    let file = "https://generativelanguage.googleapis.com/v1beta/files/a";
    check(
        vec![Message::new(
            Role::User,
            [
                ContentBlock::image_url("http://h/i.PNG?size=1"),
                document(pdf, Some("a.pdf")),
                document(at(file), None),
            ],
        )],
        json!([{"role": "user", "parts": [
            {"fileData": {"mimeType": "image/png", "fileUri": "http://h/i.PNG?size=1"}},
            {"text": "Document `a.pdf`:"},
            {"inlineData": {"mimeType": "application/pdf", "data": "QQ=="}},
            {"fileData": {"fileUri": file}},
        ]}]),
    );
}

#[test]
fn roles_alternate_and_nothing_is_empty() {
    check(
        vec![
            Message::user("a"),
            Message::assistant(""),
            Message::user("b"),
            Message::assistant("c"),
            Message::assistant("d"),
            Message::user("e"),
        ],
        json!([
            {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
            {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
            {"role": "user", "parts": [{"text": "e"}]},
        ]),
    );
}

#[test]
fn what_the_wire_cannot_carry_is_refused_by_name() {
    let refusal = ContentBlock::Refusal { text: "No.".into() };
    for (content, kind, part) in [
        (
            vec![refusal],
            ModelErrorKind::Unsupported,
            "a refusal in a user's message",
        ),
        (
            vec![ContentBlock::text("")],
            ModelErrorKind::InvalidRequest,
            "says nothing",
        ),
    ] {
        let request = ModelRequest::new([Message::new(Role::User, content)]);
        let error = write("gemini-2.5-flash", &request).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.message().contains(part), "{error}");
    }
}
