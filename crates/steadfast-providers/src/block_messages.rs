//! Messages made of blocks, as Anthropic's models take them on the vendor's wire and on Bedrock's:
//! where blocks may stand. What a block looks like is each wire's own.

use serde::Serialize;

use crate::request_body::NO_PROMPT;

/// One message of a wire.
#[derive(Serialize)]
pub(crate) struct WireMessage<B> {
    pub(crate) role: &'static str,
    pub(crate) content: Vec<B>,
}

/// What decides where a block may stand.
pub(crate) trait WireBlock {
    fn is_thinking(&self) -> bool;

    fn is_result(&self) -> bool;

    /// Takes away white space at the end of a text.
    fn trim_end(&mut self);

    /// Writes a text.
    fn text(text: &'static str) -> Self;
}

impl<B: WireBlock> WireMessage<B> {
    /// Adds what neighbours of one role say to a conversation. Between two of a role there may have
    /// been one that says nothing.
    pub(crate) fn join(mut self, messages: &mut Vec<Self>) {
        let is_answer = self.role == "assistant";
        if is_answer {
            self.drop_thinking_at_the_end();
        }
        if self.content.is_empty() {
            return;
        }
        match messages.last_mut() {
            Some(last) if last.role == self.role => last.content.extend(self.content),
            None if is_answer => {
                let content = vec![B::text(NO_PROMPT)];
                let role = "user";
                messages.push(Self { role, content });
                messages.push(self);
            }
            _ => messages.push(self),
        }
        if let Some(last) = messages.last_mut().filter(|_| !is_answer) {
            last.put_results_first();
        }
    }

    /// Puts results first: they answer the calls of the message before, and nothing may come between.
    fn put_results_first(&mut self) {
        self.content.sort_by_key(|block| !block.is_result());
    }

    /// Takes away thinking at the end: the vendor refuses an answer that ends in it, and then the
    /// whole conversation.
    fn drop_thinking_at_the_end(&mut self) {
        while self.content.last().is_some_and(WireBlock::is_thinking) {
            self.content.pop();
        }
    }

    /// Returns whether a new turn of the model begins behind it, as the vendor counts: results alone
    /// go on with the turn that called.
    fn begins_a_turn(&self) -> bool {
        self.role == "user" && !self.content.iter().all(WireBlock::is_result)
    }
}

/// Returns whether calls are being answered in a turn that did not begin with thinking. The vendor
/// refuses this while thinking is on; such a turn comes from another model, or from before it was on.
///
/// A loop of tools is one turn. A model that thinks only at its beginning answers all results in it
/// without a thought: "Claude will not output another thinking block until after the next
/// non-`tool_result` user turn".
pub(crate) fn answers_without_thinking<B: WireBlock>(messages: &[WireMessage<B>]) -> bool {
    let Some((answering, before)) = messages.split_last() else {
        return false;
    };
    // Words beside the results do not make it less of an answer to the calls.
    if answering.role != "user" || !answering.content.iter().any(WireBlock::is_result) {
        return false;
    }
    let prompt = before.iter().rposition(WireMessage::begins_a_turn);
    let first = before.get(prompt.map_or(0, |place| place + 1));
    let first = first.and_then(|first| first.content.first());
    first.is_some_and(|block| !block.is_thinking())
}

/// Takes away white space at the very end: an answer that the model is to continue must not end in
/// it. A text that is white space alone is never written, so something is left.
pub(crate) fn trim_last_answer<B: WireBlock>(messages: &mut [WireMessage<B>]) {
    let last = messages.last_mut().filter(|last| last.role == "assistant");
    if let Some(block) = last.and_then(|last| last.content.last_mut()) {
        block.trim_end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thought, a call, a result, or a text.
    struct Letter(char);

    impl WireBlock for Letter {
        fn is_thinking(&self) -> bool {
            self.0 == 't'
        }

        fn is_result(&self) -> bool {
            self.0 == 'r'
        }

        fn trim_end(&mut self) {}

        fn text(_: &'static str) -> Self {
            Self('x')
        }
    }

    /// Checks messages that are written as the letters of their blocks; the user begins.
    fn check(messages: &str, expected: bool) {
        let messages: Vec<_> = messages
            .split(' ')
            .zip(["user", "assistant"].into_iter().cycle())
            .map(|(blocks, role)| WireMessage {
                role,
                content: blocks.chars().map(Letter).collect(),
            })
            .collect();
        assert_eq!(answers_without_thinking(&messages), expected);
    }

    #[test]
    fn first_answer_of_a_loop_decides_on_thinking() {
        check("x tc r", false);
        check("x c r", true);
        check("x tc r c r", false);
        check("x tc r c r c rr", false);
        check("x c r tc r", true);
        check("x c r x x tc r", false);
        check("x tc r x x c r", true);
        // A prompt beside results begins a turn, and still answers the calls before it.
        check("x c rx tc r", false);
        check("x tc rx c r", true);
        check("x c rx", true);
        check("x tc r c rx", false);
    }

    #[test]
    fn thinking_is_free_where_no_call_is_answered() {
        check("x", false);
        check("x x", false);
        check("x c r x", false);
        check("x c x", false);
    }
}
