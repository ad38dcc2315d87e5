//! How the lines of a sheet are written, from the contract as from a run.

use std::time::Duration;

use steadfast::{DecidedBy, StopReason};

use crate::{
    contract::Failed,
    script::{self, PROMPT, TOOL},
};

pub(crate) fn prompt() -> String {
    format!("user: {PROMPT}")
}

pub(crate) fn answer(turn: u32) -> String {
    let text = script::pieces(turn).concat();
    match script::arguments(turn) {
        Some(arguments) => format!("assistant: {text} [call {turn}: {TOOL} {arguments}]"),
        None => format!("assistant: {text}"),
    }
}

pub(crate) fn tool_result(turn: u32) -> String {
    format!("user: [call {turn} = {}]", script::found(turn))
}

pub(crate) fn message(message: &str) -> String {
    format!("message {message}")
}

pub(crate) fn attempt(turn: u32, attempt: u32) -> String {
    format!("{turn}.{attempt} attempt_started")
}

pub(crate) fn says(turn: u32, attempt: u32, text: &str) -> Option<String> {
    (!text.is_empty()).then(|| format!("{turn}.{attempt} says “{text}”"))
}

pub(crate) fn discarded(turn: u32, attempt: u32, failed: &Failed) -> String {
    format!("{turn}.{attempt} attempt_discarded, {}", error(failed))
}

pub(crate) fn waits(
    turn: u32,
    attempt: u32,
    delay: Duration,
    decided_by: DecidedBy,
    max_attempts: Option<u32>,
) -> String {
    let most = max_attempts.map_or_else(String::new, |most| format!(", at most {most}"));
    format!("{turn}.{attempt} event_loop_throttle {delay:?} by {decided_by:?}{most}")
}

pub(crate) fn force_stop(turn: u32, attempt: u32, failed: &Failed) -> String {
    format!("{turn}.{attempt} force_stop, {}", error(failed))
}

fn error(failed: &Failed) -> String {
    let mut line = failed.kind.name().to_owned();
    if let Some(status) = failed.status {
        line += &format!(" {status}");
    }
    if let Some(hint) = failed.hint {
        line += &format!(", come back in {hint:?}");
    }
    line
}

pub(crate) fn tool_runs(turn: u32) -> [String; 2] {
    [
        tool_started(&turn.to_string()),
        tool_finished(&turn.to_string(), true),
    ]
}

pub(crate) fn tool_started(call: &str) -> String {
    format!("call {call} tool_started")
}

pub(crate) fn tool_finished(call: &str, ok: bool) -> String {
    format!(
        "call {call} tool_finished, {}",
        if ok { "ok" } else { "failed" }
    )
}

pub(crate) fn result(reason: StopReason, attempts: usize, turns: u32) -> String {
    format!("result {reason:?}, {attempts} attempts, {turns} turns")
}

pub(crate) fn counts(attempts: usize, requests: usize, tool_runs: usize) -> String {
    format!("{attempts} attempts told, {requests} requests seen, {tool_runs} runs of the tool")
}

pub(crate) fn kept(message: &str) -> String {
    format!("history {message}")
}

pub(crate) fn request(messages: usize) -> String {
    format!("request with {messages} messages")
}
