//! What Anthropic refuses about the calls that its own servers run: those without results, and
//! results without calls.
//!
//! Their results are blocks of the assistant. They may come late: as long as a client answers
//! with nothing but the results of its own calls, the turn of the assistant stays open.

use serde_json::Value;

use super::{Role, Turn};
use crate::conversation::string;

/// A call that a server runs, and where it is.
struct Call<'a> {
    index: usize,
    block: &'a Value,
}

/// Refuses a history with the first call or result that is alone.
pub(super) fn check(turns: &[Turn<'_>]) -> Result<(), String> {
    let mut open = Vec::new();
    for turn in turns {
        match turn.role {
            Role::Assistant => blocks(turn, &mut open)?,
            Role::User if turn.has_only_results() => {}
            Role::User => all_answered(&open)?,
        }
    }
    // What is still open is for the server to go on with.
    Ok(())
}

fn blocks<'a>(turn: &Turn<'a>, open: &mut Vec<Call<'a>>) -> Result<(), String> {
    for &(index, number, block) in &turn.blocks {
        let kind = string(block, "type");
        if matches!(kind, "server_tool_use" | "mcp_tool_use") {
            open.push(Call { index, block });
        } else if kind.ends_with("_tool_result") {
            let id = string(block, "tool_use_id");
            let before = open.len();
            open.retain(|call| string(call.block, "id") != id);
            if open.len() == before {
                let called = if kind.starts_with("mcp") {
                    "mcp_tool_use"
                } else {
                    "server_tool_use"
                };
                return Err(format!(
                    "messages.{index}.content.{number}: unexpected `tool_use_id` found in `{kind}` \
                     blocks: {id}. Each `{kind}` block must have a corresponding `{called}` block \
                     before it."
                ));
            }
        }
    }
    Ok(())
}

fn all_answered(open: &[Call<'_>]) -> Result<(), String> {
    let Some(Call { index, block }) = open.first() else {
        return Ok(());
    };
    let (name, id) = (string(block, "name"), string(block, "id"));
    let result = match string(block, "type") {
        "mcp_tool_use" => "mcp",
        _ if name.starts_with("tool_search_tool") => "tool_search",
        _ => name,
    };
    Err(format!(
        "messages.{index}: `{name}` tool use with id `{id}` was found without a corresponding \
         `{result}_tool_result` block"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::check;
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

    fn search(id: &str) -> Value {
        json!({"type": "server_tool_use", "id": id, "name": "web_search", "input": {"query": "x"}})
    }

    fn found(id: &str) -> Value {
        json!({"type": "web_search_tool_result", "tool_use_id": id, "content": []})
    }

    #[test]
    fn server_calls_in_order_are_accepted() {
        let start = || user(json!("Hi"));
        let histories = [
            // Answered in the same message.
            vec![
                start(),
                assistant(json!([search("s"), found("s"), words()])),
                user(json!("and?")),
            ],
            // Paused: the server goes on.
            vec![start(), assistant(json!([search("s")]))],
            vec![
                start(),
                assistant(json!([search("s")])),
                assistant(json!([found("s"), words()])),
                user(json!("and?")),
            ],
            // Put off until the client has answered its own call.
            vec![
                start(),
                assistant(json!([search("s"), call("a")])),
                user(json!([result("a")])),
            ],
            vec![
                start(),
                assistant(json!([search("s"), call("a")])),
                user(json!([result("a")])),
                assistant(json!([found("s"), words()])),
                user(json!("and?")),
            ],
        ];
        for history in histories {
            assert_eq!(check(&history, false), Ok(()), "{history:?}");
        }
    }

    #[test]
    fn server_calls_need_results_before_the_turn_ends() {
        let kinds = [
            (search("s"), "web_search", "web_search_tool_result"),
            (
                json!({"type": "server_tool_use", "id": "s", "name": "bash_code_execution"}),
                "bash_code_execution",
                "bash_code_execution_tool_result",
            ),
            (
                json!({"type": "server_tool_use", "id": "s", "name": "tool_search_tool_regex"}),
                "tool_search_tool_regex",
                "tool_search_tool_result",
            ),
            (
                json!({"type": "mcp_tool_use", "id": "s", "name": "add"}),
                "add",
                "mcp_tool_result",
            ),
        ];
        for (block, name, missing) in kinds {
            let expected = format!(
                "messages.1: `{name}` tool use with id `s` was found without a corresponding \
                 `{missing}` block"
            );
            let ends = [
                vec![assistant(json!([block])), user(json!("and?"))],
                vec![assistant(json!([block, words()])), user(json!([words()]))],
                vec![
                    assistant(json!([block, call("a")])),
                    user(json!([result("a"), words()])),
                ],
                vec![
                    assistant(json!([block, call("a")])),
                    user(json!([result("a")])),
                    assistant(json!([words()])),
                    user(json!("and?")),
                ],
            ];
            for end in ends {
                let history = [vec![user(json!("Hi"))], end].concat();

                assert_eq!(check(&history, false), Err(expected.clone()), "{history:?}");
            }
        }
    }

    #[test]
    fn server_results_need_calls_before_them() {
        let lonely = [
            vec![found("s"), words()],
            vec![found("s"), search("s"), words()],
            vec![search("t"), found("s")],
        ];
        for blocks in lonely {
            let number = blocks.iter().position(|block| *block == found("s"));
            let history = [user(json!("Hi")), assistant(json!(blocks))];

            let error = check(&history, false).unwrap_err();

            let expected = format!(
                "messages.1.content.{}: unexpected `tool_use_id` found in \
                 `web_search_tool_result` blocks: s. ",
                number.unwrap()
            );
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}
