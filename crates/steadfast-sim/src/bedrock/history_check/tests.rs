use serde_json::{Value, json};

use super::check;

fn said(role: &str, content: Value) -> Value {
    json!({"role": role, "content": content})
}

fn call(id: &str) -> Value {
    json!({"toolUse": {"toolUseId": id, "name": "f", "input": {}}})
}

fn result(id: &str) -> Value {
    json!({"toolResult": {"toolUseId": id, "content": [{"text": "x"}]}})
}

fn text(text: &str) -> Value {
    json!({ "text": text })
}

/// Checks a conversation that begins with a prompt; what is expected is a part of the refusal.
fn refused(rest: &[Value], expected: &str) {
    let mut messages = vec![said("user", json!([text("Hi")]))];
    messages.extend(rest.iter().cloned());
    let problem = check(&messages, true, false).expect_err(expected);
    assert!(problem.contains(expected), "{problem}");
}

#[test]
fn conversations_in_order_are_taken() {
    let messages = [
        said(
            "user",
            json!([text("Hi"), {"image": {"format": "png", "source": {"bytes": "eA=="}}}]),
        ),
        said("assistant", json!([text("So"), call("a"), call("b")])),
        said("user", json!([result("b"), result("a"), text("and")])),
        said("assistant", json!([text("Then")])),
    ];
    assert_eq!(check(&messages, true, false), Ok(()));
    assert!(
        check(&messages, false, false)
            .unwrap_err()
            .contains("toolConfig field must be defined")
    );
}

#[test]
fn roles_alternate_and_the_user_begins() {
    let first = [said("assistant", json!([text("Hi")]))];
    assert!(
        check(&first, true, false)
            .unwrap_err()
            .contains("must start with a user")
    );
    assert!(check(&[], true, false).is_err());
    refused(&[said("user", json!([text("a")]))], "must alternate");
    refused(&[said("system", json!([text("a")]))], "messages.1.role");
}

#[test]
fn nothing_is_blank() {
    refused(&[said("assistant", json!([]))], "messages.1 is empty");
    refused(
        &[said("assistant", json!([text(" \n")]))],
        "messages.1.content.0 is blank",
    );
    refused(
        &[said("assistant", json!([text("So ")]))],
        "trailing whitespace",
    );
    refused(
        &[said("assistant", json!([{"type": "text", "text": "x"}]))],
        "must set one of",
    );
    refused(
        &[said("assistant", json!([{"invented": {}}]))],
        "must set one of",
    );
}

#[test]
fn calls_and_results_belong_together() {
    let calls = said("assistant", json!([call("a"), call("b")]));
    refused(
        std::slice::from_ref(&calls),
        "Expected toolResult blocks at messages.2.content",
    );
    for answered in [
        json!([result("a")]),
        json!([result("a"), result("a")]),
        json!([result("a"), text("x"), result("b")]),
        json!([result("a"), result("c")]),
    ] {
        refused(
            &[calls.clone(), said("user", answered)],
            "Expected toolResult blocks",
        );
    }
    let three = json!([result("a"), result("b"), result("c")]);
    refused(&[calls.clone(), said("user", three)], "exceeds the number");
    let both = json!([result("a"), result("b")]);
    refused(
        &[calls.clone(), said("user", both), calls],
        "must be unique",
    );
}

#[test]
fn identifiers_names_and_inputs_have_a_form() {
    let with = |field: &str, value: Value| {
        let mut call = call("a");
        call["toolUse"][field] = value;
        said("assistant", json!([call]))
    };
    refused(&[with("toolUseId", json!("a.b"))], "toolUse.toolUseId");
    refused(
        &[with("toolUseId", json!("x".repeat(65)))],
        "toolUse.toolUseId",
    );
    refused(&[with("name", json!("look up"))], "toolUse.name");
    refused(&[with("input", json!("{}"))], "Provide a json object");
    let mut bad = result("a");
    bad["toolResult"]["content"] = json!([{"json": [1]}]);
    refused(
        &[
            said("assistant", json!([call("a")])),
            said("user", json!([bad])),
        ],
        "Provide a json object",
    );
}

#[test]
fn documents_have_names_and_words_beside_them() {
    let document = |name: &str| json!({"document": {"format": "pdf", "name": name, "source": {"bytes": "eA=="}}});
    let answer = said("assistant", json!([text("x")]));
    refused(
        &[
            answer.clone(),
            said("user", json!([document("a.b"), text("x")])),
        ],
        "document file name",
    );
    refused(
        &[
            answer.clone(),
            said("user", json!([document("a"), document("a"), text("x")])),
        ],
        "Duplicate document name",
    );
    refused(
        &[answer, said("user", json!([document("a")]))],
        "A text block is required",
    );
}

#[test]
fn thoughts_are_the_simulators_own_and_come_first() {
    let thought =
        json!({"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "made up"}}});
    refused(
        &[said("assistant", json!([thought, text("x")]))],
        "Invalid `signature`",
    );
    let redacted = json!({"reasoningContent": {"redactedContent": "eA=="}});
    refused(
        &[said("assistant", json!([text("x"), redacted]))],
        "cannot be `thinking`",
    );
    let messages = [
        said("user", json!([text("Hi")])),
        said("assistant", json!([call("a")])),
        said("user", json!([result("a")])),
    ];
    assert!(
        check(&messages, true, true)
            .unwrap_err()
            .contains("Expected `thinking`")
    );
}

#[test]
fn thought_at_the_start_of_a_loop_is_enough() {
    let redacted = || json!({"reasoningContent": {"redactedContent": "eA=="}});
    let messages = |first: Value, second: Value| {
        [
            said("user", json!([text("Hi")])),
            said("assistant", first),
            said("user", json!([result("a")])),
            said("assistant", second),
            said("user", json!([result("b")])),
        ]
    };
    let first = messages(json!([redacted(), call("a")]), json!([call("b")]));
    let second = messages(json!([call("a")]), json!([redacted(), call("b")]));

    assert_eq!(check(&first, true, true), Ok(()));
    let problem = check(&second, true, true).expect_err("the turn began without");
    assert!(
        problem.contains("messages.1.content.0.type: Expected"),
        "{problem}"
    );
}
