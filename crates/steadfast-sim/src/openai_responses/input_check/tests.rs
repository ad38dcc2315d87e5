use serde_json::json;

use super::*;

fn check(input: Value, expected: Result<(), &str>) {
    let checked = super::check(&json!({"input": input, "store": false}));
    match (checked, expected) {
        (Ok(()), Ok(())) => {}
        (Err(error), Err(expected)) => {
            let error = String::from_utf8(error.to_json()).unwrap();
            assert!(error.contains(expected), "{error} should say {expected}");
        }
        (checked, expected) => panic!("{checked:?} should be {expected:?} for {input}"),
    }
}

fn said(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn call(id: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"})
}

fn output(id: &str) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": "x"})
}

fn thought(id: &str) -> Value {
    json!({"type": "reasoning", "id": id, "summary": [], "encrypted_content": encrypted(id)})
}

#[test]
fn every_form_of_an_input_is_taken() {
    for input in [
        json!("Hi"),
        json!([said("Hi")]),
        json!([{"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "Hi"},
            {"type": "input_image", "image_url": "data:,"},
            {"type": "input_file", "file_id": "file-1"},
            {"type": "input_file", "file_url": "http://h/a.pdf"},
            {"type": "input_file", "file_data": "data:,", "filename": "a.pdf"}
        ]}]),
        json!([said("Hi"), {"role": "assistant", "content": "Hello"}, said("and?")]),
        json!([said("Hi"), {"role": "assistant", "content": [
            {"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}
        ]}]),
        json!([
            thought("rs_1"),
            call("a"),
            call("b"),
            output("b"),
            output("a")
        ]),
        json!([thought("rs_1"), thought("rs_2"), {"role": "assistant", "content": "x"}]),
        json!([{"type": "web_search_call", "id": "ws_1"}, said("and?")]),
    ] {
        check(input, Ok(()));
    }
}

#[test]
fn calls_and_outputs_belong_together() {
    for (input, expected) in [
        (
            json!([call("a")]),
            "No tool output found for function call a",
        ),
        (json!([output("a")]), "No tool call found"),
        (json!([output("a"), call("a")]), "No tool call found"),
        (
            json!([call("a"), output("a"), output("a")]),
            "Duplicate output",
        ),
        (json!([call("a"), call("a")]), "Duplicate value"),
        (json!([call("")]), "input[0].call_id"),
        (json!([call(&"x".repeat(65))]), "string too long"),
        (
            json!([{"type": "function_call", "call_id": "a", "name": "f g", "arguments": ""}]),
            "does not match pattern",
        ),
        (
            json!([{"type": "function_call", "call_id": "a", "name": "f", "arguments": {}}]),
            "Invalid type for 'input[0].arguments'",
        ),
        (
            json!([call("a"), {"type": "function_call_output", "call_id": "a"}]),
            "'input[1].output'",
        ),
        (
            json!([{"type": "custom_tool_call", "call_id": "c"}]),
            "No tool output found",
        ),
    ] {
        check(input, Err(expected));
    }
}

#[test]
fn thoughts_are_the_vendors_own_and_something_came_of_them() {
    let mut changed = thought("rs_1");
    changed["encrypted_content"] = json!("gAAAAAB");
    let followers = "without its required following item";
    for (input, expected) in [
        (
            json!([changed, call("a"), output("a")]),
            "could not be verified",
        ),
        (json!([thought("rs_1")]), followers),
        (json!([thought("rs_1"), said("Hi")]), followers),
        (
            json!([{"type": "reasoning", "id": "rs_1", "summary": []}]),
            "not persisted",
        ),
        (
            json!([{"type": "reasoning", "id": "", "summary": []}]),
            "begins with 'rs'",
        ),
        (
            json!([{"type": "reasoning", "id": "rs_1"}]),
            "'input[0].summary'",
        ),
        (
            json!([thought("rs_1"), call("a"), thought("rs_1"), call("b")]),
            "Duplicate item found with id rs_1",
        ),
    ] {
        check(input, Err(expected));
    }
}

#[test]
fn items_have_known_shapes() {
    for (input, expected) in [
        (json!([]), "must be provided"),
        (json!(7), "Invalid type for 'input'"),
        (json!([7]), "Invalid type for 'input[0]'"),
        (json!([{"type": "of_tomorrow"}]), "of_tomorrow"),
        (json!([{"role": "tool", "content": "x"}]), "input[0].role"),
        (json!([{"role": "user"}]), "'input[0].content'"),
        (
            json!([{"role": "user", "content": [{"type": "text", "text": "x"}]}]),
            "Invalid value: 'text'",
        ),
        (
            json!([{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]),
            "Invalid value: 'input_text'",
        ),
        (
            json!([{"role": "user", "content": [{"type": "input_image"}]}]),
            "'input[0].content[0].image_url'",
        ),
    ] {
        check(input, Err(expected));
    }
}
