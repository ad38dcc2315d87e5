//! What the simulated model says and what its tool answers, turn by turn. Faults are not known here.

use serde_json::{Value, json};
use steadfast_sim::{Answer, ChatRequest};

pub(crate) const PROMPT: &str = "What is the answer?";

pub(crate) const TOOL: &str = "look_up";

/// The turns of a run: two with a tool call, so that one of them has a finished turn behind it.
pub(crate) const TURNS: u32 = 3;

/// Returns what the model says in a turn, in two pieces: a fault after text strikes between them.
pub(crate) const fn pieces(turn: u32) -> [&'static str; 2] {
    match turn {
        1 => ["I look", " it up."],
        2 => ["Once more,", " for sure."],
        _ => ["It is", " 42."],
    }
}

/// Returns the arguments of the tool call that the model makes in a turn, if it makes one.
pub(crate) fn arguments(turn: u32) -> Option<Value> {
    (turn < TURNS).then(|| json!({ "round": turn }))
}

/// Returns what the tool answers.
pub(crate) fn found(round: u32) -> String {
    format!("found in round {round}")
}

/// Returns the messages of a request in a turn: the prompt, and two of each turn before.
pub(crate) const fn messages_before(turn: u32) -> usize {
    (turn as usize - 1) * 2 + 1
}

/// Counts the messages of a request. What calls a tool belongs to the words before it, also where the
/// wire has it apart.
pub(crate) fn messages(request: &ChatRequest) -> usize {
    let is_call = |message: &&Value| message.get("type") == Some(&json!("function_call"));
    request.messages().len() - request.messages().iter().filter(is_call).count()
}

/// Answers for the simulated model.
pub(crate) fn answer(request: &ChatRequest) -> Answer {
    let turn = (1..TURNS).find(|turn| messages(request) <= messages_before(*turn));
    let turn = turn.unwrap_or(TURNS);
    let answer = Answer::text(pieces(turn).concat());
    match arguments(turn) {
        Some(arguments) => answer.then_tool_call(TOOL, arguments),
        None => answer,
    }
}
