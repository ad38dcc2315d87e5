//! Calls that the provider runs by itself: which of them may go back. The vendor refuses one whose
//! result will never come, and with it the conversation.

use std::collections::HashSet;

use serde_json::Value;
use steadfast_core::{ContentBlock, Message, Role, StopReason};

use super::OPAQUE_KEY;

/// What a history says about the provider's own calls.
pub(super) struct ServerCalls<'a> {
    answered: HashSet<&'a str>,
    /// From this place on the answers are parts of one turn, which the provider has yet to go on
    /// with: results of its own calls may still come.
    pending_from: usize,
}

impl<'a> ServerCalls<'a> {
    /// Reads the messages of a history.
    pub(super) fn of(messages: &[&'a Message]) -> Self {
        let blocks = messages.iter().flat_map(|message| &message.content);
        let answered = blocks.filter_map(|block| match block {
            ContentBlock::Opaque { data } => data.get(OPAQUE_KEY)?.get("tool_use_id")?.as_str(),
            _ => None,
        });
        let mut pending_from = messages.len();
        let mut next_is_answer = true;
        for (place, message) in messages.iter().enumerate().rev() {
            let is_answer = message.role == Role::Assistant;
            match message.stop_reason {
                _ if !is_answer && is_results(message) => {}
                _ if !is_answer => break,
                // The results of the tools follow, and then what the provider's own calls gave.
                Some(StopReason::ToolUse) => pending_from = place,
                Some(StopReason::PauseTurn) if next_is_answer => pending_from = place,
                _ => break,
            }
            next_is_answer = is_answer;
        }
        Self {
            answered: answered.collect(),
            pending_from,
        }
    }

    /// Returns whether a block at a place of the history may go back.
    pub(super) fn stays(&self, own: &Value, place: usize) -> bool {
        let word = |field: &str| own.get(field).and_then(Value::as_str).unwrap_or_default();
        let is_call = word("type").ends_with("tool_use");
        !is_call || place >= self.pending_from || self.answered.contains(word("id"))
    }
}

/// Returns whether a message is results alone; anything else a user says ends the turn.
fn is_results(message: &Message) -> bool {
    let is_result = |block: &ContentBlock| matches!(block, ContentBlock::ToolResult(_));
    message.content.iter().all(is_result)
}
