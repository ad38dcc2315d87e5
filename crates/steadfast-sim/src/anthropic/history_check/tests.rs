use serde_json::json;

use super::*;

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: Value) -> Value {
    json!({"role": "assistant", "content": content})
}

fn words() -> Value {
    json!({"type": "text", "text": "x"})
}

fn call(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "add", "input": {}})
}

fn result(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": "3"})
}

fn thought(text: &str) -> Value {
    json!({"type": "thinking", "thinking": text, "signature": signature(text)})
}

fn refused(history: &[Value], expected: &str) {
    let error = check(history, false).unwrap_err();

    assert!(error.starts_with(expected), "{error}\nshould be {expected}");
}

#[test]
fn histories_in_order_are_accepted() {
    let mut empty_result = result("a");
    empty_result["content"] = json!("");
    let histories = [
        vec![user(json!("Hi"))],
        vec![
            user(json!("Hi")),
            assistant(json!("Hello")),
            user(json!([words()])),
        ],
        vec![
            user(json!("Hi")),
            assistant(json!([call("a")])),
            user(json!([result("a")])),
        ],
        vec![
            user(json!("Hi")),
            assistant(json!([call("a")])),
            user(json!([empty_result])),
        ],
        vec![
            user(json!("Hi")),
            assistant(json!([thought("Hm."), words(), call("a"), call("b")])),
            user(json!([result("b"), result("a"), words()])),
        ],
        // Two messages of one role in a row are one turn.
        vec![
            user(json!("Hi")),
            user(json!("again")),
            assistant(json!([call("a")])),
            assistant(json!([call("b")])),
            user(json!([result("a")])),
            user(json!([result("b")])),
        ],
        vec![user(json!("Hi")), assistant(json!("A beginning"))],
        vec![user(json!("Hi")), assistant(json!([]))],
        vec![user(json!([{"type": "image", "source": {}}]))],
        vec![
            user(json!("Hi")),
            assistant(json!([{"type": "a_block_of_the_future"}, words()])),
        ],
    ];
    for history in histories {
        assert_eq!(check(&history, false), Ok(()), "{history:?}");
    }
}

#[test]
fn calls_need_results_right_after_them() {
    let start = || vec![user(json!("Hi")), assistant(json!([call("a"), call("b")]))];
    let expected = "messages.1: `tool_use` ids were found without `tool_result` blocks \
                    immediately after: ";
    let cases = [
        (vec![], "a, b."),
        (vec![user(json!("and?"))], "a, b."),
        (vec![user(json!([result("a")]))], "b."),
        (vec![user(json!([result("a"), words(), result("b")]))], "b."),
        (vec![assistant(json!([words()]))], "a, b."),
        (
            vec![user(json!("and?")), user(json!([result("a"), result("b")]))],
            "a, b.",
        ),
    ];
    for (rest, missing) in cases {
        let history = [start(), rest].concat();

        refused(&history, &format!("{expected}{missing}"));
    }
}

#[test]
fn results_need_calls_right_before_them() {
    let unexpected = |at: &str| format!("messages.{at}: unexpected `tool_use_id` found in ");
    let cases = [
        (vec![user(json!([result("a")]))], "0.content.0"),
        (
            vec![
                user(json!("Hi")),
                assistant(json!([words()])),
                user(json!([result("a")])),
            ],
            "2.content.0",
        ),
        (
            vec![
                user(json!("Hi")),
                assistant(json!([call("a")])),
                user(json!([result("a"), result("b")])),
            ],
            "2.content.1",
        ),
        (
            vec![
                user(json!("Hi")),
                assistant(json!([call("a")])),
                user(json!([result("a")])),
                assistant(json!([words()])),
                user(json!([result("a")])),
            ],
            "4.content.0",
        ),
    ];
    for (history, at) in cases {
        refused(&history, &unexpected(at));
    }
}

#[test]
fn calls_and_results_are_unique() {
    let calls = || vec![user(json!("Hi")), assistant(json!([call("a")]))];
    let again = [
        calls(),
        vec![user(json!([result("a")])), assistant(json!([call("a")]))],
    ]
    .concat();
    let twice = [calls(), vec![user(json!([result("a"), result("a")]))]].concat();

    refused(
        &again,
        "messages.3.content.0: `tool_use` ids must be unique",
    );
    refused(
        &twice,
        "messages.2.content.1: each tool_use must have a single result.",
    );
}

#[test]
fn failures_have_to_say_something() {
    let history = |content: Value, is_error: bool| {
        let mut result = result("a");
        result["content"] = content;
        result["is_error"] = json!(is_error);
        [
            user(json!("Hi")),
            assistant(json!([call("a")])),
            user(json!([result])),
        ]
    };

    for empty in [json!(""), json!([]), json!(null)] {
        refused(
            &history(empty.clone(), true),
            "messages.2.content.0.tool_result: content cannot be empty if `is_error` is true",
        );
        assert_eq!(check(&history(empty, false), false), Ok(()));
    }
    assert_eq!(check(&history(json!("no"), true), false), Ok(()));
    assert_eq!(check(&history(json!([words()]), true), false), Ok(()));
}

#[test]
fn thoughts_must_be_the_simulators_own() {
    let with = |block: Value| [user(json!("Hi")), assistant(json!([block, words()]))];
    let mut changed = thought("Hm.");
    changed["thinking"] = json!("Hm!");
    let mut forged = thought("Hm.");
    forged["signature"] = json!("signature");
    let unsigned = json!({"type": "thinking", "thinking": "Hm."});

    assert_eq!(check(&with(thought("Hm.")), false), Ok(()));
    assert_eq!(check(&with(thought("")), false), Ok(()));
    for block in [changed, forged] {
        let expected = "messages.1.content.0: Invalid `signature` in `thinking` block";
        refused(&with(block), expected);
    }
    refused(
        &with(unsigned),
        "messages.1.content.0.thinking.signature: Field required",
    );
}

#[test]
fn no_message_ends_with_a_thought() {
    let redacted = json!({"type": "redacted_thinking", "data": "x"});
    let endings = [
        json!([thought("Hm.")]),
        json!([words(), thought("Hm.")]),
        json!([thought("Hm."), redacted]),
    ];
    for ending in endings {
        let history = [user(json!("Hi")), assistant(ending), user(json!("and?"))];

        refused(
            &history,
            "messages.1: The final block in an assistant message cannot be `thinking`.",
        );
    }
}

#[test]
fn thoughts_stay_before_the_calls_that_are_answered() {
    let history = |blocks: Value| {
        [
            user(json!("Hi")),
            assistant(blocks),
            user(json!([result("a")])),
        ]
    };
    let kept = history(json!([thought("Hm."), call("a")]));
    let dropped = history(json!([call("a")]));

    assert_eq!(check(&kept, true), Ok(()));
    assert_eq!(check(&dropped, false), Ok(()));
    let error = check(&dropped, true).unwrap_err();
    assert!(
        error.starts_with("messages.1.content.0.type: Expected `thinking`"),
        "{error}"
    );
}

#[test]
fn thought_at_the_start_of_a_loop_is_enough() {
    let history = |first: Value, second: Value| {
        [
            user(json!("Hi")),
            assistant(first),
            user(json!([result("a")])),
            assistant(second),
            user(json!([result("b")])),
        ]
    };
    let first = history(json!([thought("Hm."), call("a")]), json!([call("b")]));
    let second = history(json!([call("a")]), json!([thought("Hm."), call("b")]));

    assert_eq!(check(&first, true), Ok(()));
    let error = check(&second, true).unwrap_err();
    assert!(
        error.starts_with("messages.1.content.0.type: Expected `thinking`"),
        "{error}"
    );
}

#[test]
fn messages_have_roles_and_content() {
    let empty = json!({"type": "text", "text": ""});
    let cases = [
        (vec![], "messages: at least one message is required"),
        (
            vec![json!(7)],
            "messages.0: Input should be a valid dictionary",
        ),
        (
            vec![json!({"content": "Hi"})],
            "messages.0.role: Field required",
        ),
        (
            vec![json!({"role": "tool", "content": "Hi"})],
            "messages.0.role: Input should be",
        ),
        (
            vec![json!({"role": "system", "content": "Hi"})],
            "messages: Unexpected role \"system\"",
        ),
        (
            vec![assistant(json!("Hi"))],
            "messages: first message must use the \"user\" role",
        ),
        (
            vec![json!({"role": "user"})],
            "messages.0.content: Field required",
        ),
        (
            vec![user(json!(7))],
            "messages.0.content: Input should be a valid list",
        ),
        (
            vec![user(json!(""))],
            "messages.0: user messages must have non-empty content",
        ),
        (
            vec![user(json!([]))],
            "messages.0: user messages must have non-empty content",
        ),
        (
            vec![user(json!("Hi")), assistant(json!("")), user(json!("Hi"))],
            "messages.1: all messages must have non-empty content",
        ),
        (
            vec![user(json!(" \n"))],
            "messages: text content blocks must contain non-whitespace",
        ),
        (
            vec![user(json!([empty]))],
            "messages: text content blocks must be non-empty",
        ),
        (
            vec![
                user(json!("Hi")),
                assistant(json!([call("a")])),
                user(json!([{"type": "tool_result", "tool_use_id": "a", "content": [empty]}])),
            ],
            "messages: text content blocks must be non-empty",
        ),
        (
            vec![user(json!("Hi")), assistant(json!("A beginning "))],
            "messages: final assistant content cannot end with trailing whitespace",
        ),
        (
            vec![
                user(json!("Hi")),
                assistant(json!([{"type": "text", "text": "A\n"}])),
            ],
            "messages: final assistant content cannot end with trailing whitespace",
        ),
    ];
    for (history, expected) in cases {
        refused(&history, expected);
    }
}

#[test]
fn blocks_have_their_fields_and_their_place() {
    let mut no_input = call("a");
    no_input.as_object_mut().unwrap().remove("input");
    let mut text_input = call("a");
    text_input["input"] = json!("{}");
    let named = |name: &str| {
        let mut named = call("a");
        named["name"] = json!(name);
        named
    };
    let by_assistant = [
        (
            no_input,
            "messages.1.content.0.tool_use.input: Field required",
        ),
        (
            text_input,
            "messages.1.content.0.tool_use.input: Input should be a valid dictionary",
        ),
        (
            named(""),
            "messages.1.content.0.tool_use.name: String should have at least 1 character",
        ),
        (
            named(&"x".repeat(201)),
            "messages.1.content.0.tool_use.name: String should have at most 200 characters",
        ),
        (
            named("add numbers"),
            "messages.1.content.0.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]+$'",
        ),
        (
            call("a b"),
            "messages.1.content.0.tool_use.id: String should match pattern",
        ),
        (
            result("a"),
            "messages.1.content.0: `tool_result` blocks can only be in `user`",
        ),
        (
            json!({"type": "text"}),
            "messages.1.content.0.text.text: Field required",
        ),
        (json!({}), "messages.1.content.0.type: Field required"),
        (json!("Hi"), "messages.1.content.0.type: Field required"),
    ];
    let by_user = [
        (
            call("a"),
            "messages.0.content.0: `tool_use` blocks can only be in `assistant`",
        ),
        (
            thought("x"),
            "messages.0.content.0: `thinking` blocks can only be in `assistant`",
        ),
        (
            json!({"type": "tool_result"}),
            "messages.0.content.0.tool_result.tool_use_id: Field",
        ),
    ];
    for (block, expected) in by_assistant {
        refused(&[user(json!("Hi")), assistant(json!([block]))], expected);
    }
    for (block, expected) in by_user {
        refused(&[user(json!([block]))], expected);
    }
}
