//! Which piece belongs to which call.

use super::*;

#[test]
fn pieces_find_their_call() {
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "function": {"name": name, "arguments": arguments}});
    let at = |index: usize, mut call: Value| {
        call["index"] = json!(index);
        call
    };
    let two = [
        start(0, "a", "f"),
        input(0, "{}"),
        start(1, "b", "f"),
        input(1, "{}"),
    ];
    let own = [
        start(0, "call_0", "f"),
        input(0, "{}"),
        start(1, "call_1", "f"),
        input(1, "{}"),
    ];
    let cases: [(&str, Vec<Value>, &[ModelDelta]); 14] = [
        (
            "identities without an index",
            vec![json!([call("a", "f", "{}"), call("b", "f", "{}")])],
            &two,
        ),
        (
            "one index, different identities",
            vec![
                json!([at(0, call("a", "f", "{}"))]),
                json!([at(0, call("b", "f", "{}"))]),
            ],
            &two,
        ),
        (
            "neither index nor identity, in one list",
            vec![json!([call("", "f", "{}"), call("", "f", "{}")])],
            &own,
        ),
        (
            "neither index nor identity, one after the other",
            vec![json!([call("", "f", "{}")]), json!([call("", "f", "{}")])],
            &own,
        ),
        (
            "one index and no identity, in one list",
            vec![json!([
                at(0, call("", "f", "{}")),
                at(0, call("", "f", "{}"))
            ])],
            &own,
        ),
        (
            "one index and no identity, one after the other",
            vec![
                json!([at(0, call("", "f", "{}"))]),
                json!([at(0, call("", "f", "{}"))]),
            ],
            &own,
        ),
        (
            "entries of a list, continued by their places",
            vec![
                json!([call("", "f", "{"), call("", "g", "{")]),
                json!([call("", "", "}"), call("", "", "}")]),
            ],
            &[
                start(0, "call_0", "f"),
                input(0, "{"),
                start(1, "call_1", "g"),
                input(1, "{"),
                input(0, "}"),
                input(1, "}"),
            ],
        ),
        (
            "identity and name with every piece",
            vec![
                json!([at(0, call("a", "f", "{"))]),
                json!([at(0, call("a", "f", "}"))]),
            ],
            &[start(0, "a", "f"), input(0, "{"), input(0, "}")],
        ),
        (
            "name with every piece, no identity",
            vec![
                json!([at(0, call("", "f", "{\"a\": \"}"))]),
                json!([at(0, call("", "f", "\"}"))]),
            ],
            &[
                start(0, "call_0", "f"),
                input(0, "{\"a\": \"}"),
                input(0, "\"}"),
            ],
        ),
        (
            "a new identity with every piece",
            vec![
                json!([at(0, call("a", "f", "{"))]),
                json!([at(0, call("b", "", "}"))]),
            ],
            &[start(0, "a", "f"), input(0, "{"), input(0, "}")],
        ),
        (
            "a new identity behind the last argument",
            vec![
                json!([at(0, call("a", "f", "{}"))]),
                json!([at(0, call("b", "", ""))]),
            ],
            &[start(0, "a", "f"), input(0, "{}")],
        ),
        (
            "a late name",
            vec![
                json!([at(0, call("a", "", "{"))]),
                json!([at(0, call("", "f", "}"))]),
                json!([at(1, call("b", "f", "{}"))]),
            ],
            &[
                start(0, "a", "f"),
                input(0, "{"),
                input(0, "}"),
                start(1, "b", "f"),
                input(1, "{}"),
            ],
        ),
        (
            "arguments as an object",
            vec![json!([{"id": "a", "function": {"name": "f", "arguments": {"b": 1}}}])],
            &[start(0, "a", "f"), input(0, "{\"b\":1}")],
        ),
        (
            "no arguments, another name",
            vec![
                json!([at(0, call("", "f", ""))]),
                json!([at(0, call("", "g", ""))]),
            ],
            &[start(0, "call_0", "f"), start(1, "call_1", "g")],
        ),
    ];
    for (what, lists, expected) in cases {
        let events: Vec<Value> = lists.into_iter().map(calls).collect();
        assert_eq!(decode(&events).0, expected, "{what}");
    }
}

#[test]
fn call_whose_name_never_comes_is_told_before_the_end() {
    check(
        &[
            calls(json!([{"index": 0, "id": "a", "function": {"arguments": "{}"}}])),
            finish("tool_calls"),
        ],
        &[
            start(0, "a", ""),
            input(0, "{}"),
            ModelDelta::Stop(StopReason::ToolUse),
        ],
    );
}

#[test]
fn extra_content_of_a_call_is_kept_by_its_identity() {
    let extra = json!({"google": {"thought_signature": "sig"}});
    check(
        &[
            calls(json!([
                {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}, "extra_content": extra},
                {"index": 0, "function": {"name": "g", "arguments": "{}"}, "extra_content": extra},
                {"index": 0, "id": "c", "function": {"name": "h", "arguments": "{}"}}
            ])),
            finish("stop"),
        ],
        &[
            start(0, "a", "f"),
            input(0, "{}"),
            start(1, "call_1", "g"),
            input(1, "{}"),
            start(2, "c", "h"),
            input(2, "{}"),
            opaque(json!({"tool_calls": {"a": extra, "call_1": extra}})),
            END,
        ],
    );
}
