use serde_json::json;

use super::*;

fn call(id: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "add", "arguments": "{}"}})
}

fn calls(ids: &[&str]) -> Value {
    let calls: Vec<_> = ids.iter().map(|id| call(id)).collect();
    json!({"role": "assistant", "content": null, "tool_calls": calls})
}

fn result(id: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": "3"})
}

fn image() -> Value {
    json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}})
}

/// A message of the assistant with one call of a function.
fn called(name: &str) -> Value {
    let mut message = calls(&["a"]);
    message["tool_calls"][0]["function"]["name"] = json!(name);
    message
}

fn user() -> Value {
    json!({"role": "user", "content": "Hi"})
}

#[test]
fn histories_in_order_are_accepted() {
    let histories = [
        vec![user()],
        vec![user(), calls(&["a"]), result("a")],
        vec![user(), calls(&["a", "b"]), result("b"), result("a"), user()],
        vec![
            user(),
            calls(&["a"]),
            result("a"),
            calls(&["b"]),
            result("b"),
        ],
        vec![
            user(),
            json!({"role": "assistant", "content": "x", "tool_calls": null}),
        ],
        vec![user(), json!({"role": "assistant", "content": ""}), user()],
        vec![
            user(),
            json!({"role": "assistant", "content": null, "refusal": "No."}),
            user(),
        ],
        // An identifier may come back in a later message.
        vec![
            user(),
            calls(&["a"]),
            result("a"),
            calls(&["a"]),
            result("a"),
        ],
        vec![
            user(),
            calls(&["x".repeat(40).as_str()]),
            result(&"x".repeat(40)),
        ],
        vec![json!({"role": "user", "content": [image()]})],
    ];
    for history in histories {
        assert_eq!(check(&history), Ok(()), "{history:?}");
    }
}

#[test]
fn broken_histories_are_refused_in_the_vendors_words() {
    let bad_arguments = json!({"role": "assistant", "tool_calls": [
        {"id": "a", "function": {"name": "add", "arguments": {}}},
    ]});
    let cases = [
        (
            vec![user(), result("a")],
            "must be a response to a preceding message",
        ),
        (
            vec![user(), calls(&["a"])],
            "did not have response messages: a",
        ),
        (
            vec![user(), calls(&["a", "b"]), result("a"), user()],
            "response messages: b",
        ),
        (
            vec![user(), calls(&["a"]), user(), result("a")],
            "response messages: a",
        ),
        (
            vec![user(), calls(&["a"]), result("b")],
            "'tool_call_id' of 'b' not found",
        ),
        (
            vec![
                user(),
                calls(&["a"]),
                json!({"role": "tool", "content": "3"}),
            ],
            "Missing parameter 'tool_call_id'",
        ),
        (
            vec![
                user(),
                calls(&["a"]),
                json!({"role": "tool", "tool_call_id": "a"}),
            ],
            "Invalid value for 'content'",
        ),
        (vec![calls(&[])], "minimum length 1"),
        (
            vec![bad_arguments],
            "'messages[0].tool_calls[0].function.arguments'",
        ),
        (
            vec![json!({"role": "human", "content": "x"})],
            "Invalid value: \"human\".",
        ),
        (
            vec![json!({"content": "x"})],
            "Missing required parameter: 'messages[0].role'",
        ),
        (vec![json!(7)], "'messages[0]': expected an object"),
        (
            vec![user(), calls(&["a", "a"]), result("a")],
            "Duplicate value for 'tool_call_id' of 'a' in messages[1].",
        ),
        (
            vec![
                user(),
                calls(&["a", "b"]),
                result("a"),
                result("b"),
                result("a"),
            ],
            "Duplicate value for 'tool_call_id' of 'a', in messages[2] and messages[4].",
        ),
        (
            vec![user(), json!({"role": "assistant", "content": null})],
            "Invalid value for 'content': expected a string, got null.",
        ),
        (
            vec![user(), json!({"role": "assistant"})],
            "Invalid value for 'content': expected a string, got null.",
        ),
        (
            vec![
                user(),
                calls(&["a"]),
                json!({"role": "tool", "tool_call_id": "a", "content": [image()]}),
            ],
            "Invalid 'messages[2]'. Image URLs are only allowed for messages with role 'user', but \
             this message with role 'tool' contains an image URL.",
        ),
    ];
    for (history, expected) in cases {
        let error = String::from_utf8(check(&history).unwrap_err().to_json()).unwrap();

        assert!(
            error.contains(&expected.replace('"', "\\\"")),
            "{error} should say {expected}"
        );
    }
}

#[test]
fn names_and_identifiers_of_calls_have_their_form() {
    let pattern = "Invalid 'messages[0].tool_calls[0].function.name': string does not match \
                   pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.";
    let long = "Expected a string with maximum length";
    let cases = [
        (called("get weather"), "invalid_value", pattern.to_owned()),
        (called("a.b"), "invalid_value", pattern.to_owned()),
        (
            called(&"x".repeat(65)),
            "string_above_max_length",
            format!("{long} 64, but got a string with length 65 instead."),
        ),
        (
            calls(&["x".repeat(41).as_str()]),
            "string_above_max_length",
            format!("{long} 40, but got a string with length 41 instead."),
        ),
    ];
    for (message, code, expected) in cases {
        let error = check(&[message]).unwrap_err().to_json();

        let error: Value = serde_json::from_slice(&error).unwrap();
        let said = error["error"]["message"].as_str().unwrap();
        assert!(said.contains(&expected), "{said}\nshould say {expected}");
        assert_eq!(error["error"]["code"], code);
    }
    assert_eq!(
        check(&[called(&"x".repeat(64)), result("a")]),
        Ok(()),
        "64 are not too many"
    );
}
