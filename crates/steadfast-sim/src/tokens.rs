//! What an answer is said to have cost: the tokens that it names, or a guess of four bytes each.
//!
//! How a wire spells this, and what it counts where, is in the wire's own folder.

use crate::answer::Content;
use crate::{Answer, ChatRequest};

/// The tokens of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// All of the input, also what came from the cache.
    pub(crate) input: u64,
    /// So many of the input came from the cache.
    pub(crate) cached: u64,
    /// All of the output, also the reasoning.
    pub(crate) output: u64,
    /// So many of the output were reasoning.
    pub(crate) reasoning: u64,
}

impl Tokens {
    pub(crate) fn of(answer: &Answer, request: &ChatRequest) -> Self {
        let guess = guess(answer, request);
        let (input, output) = answer.usage.unwrap_or((guess.input, guess.output));
        Self {
            input,
            cached: answer.cached_tokens.min(input),
            output,
            reasoning: guess.reasoning.min(output),
        }
    }
}

fn guess(answer: &Answer, request: &ChatRequest) -> Tokens {
    let tokens = |bytes: usize| bytes.div_ceil(4) as u64;
    let mut reasoning = 0;
    let mut output = 0;
    for content in &answer.contents {
        match content {
            Content::Reasoning(text) => reasoning += tokens(text.len()),
            Content::Text(text) | Content::Refusal(text) => output += tokens(text.len()),
            Content::ToolCall { name, arguments } => output += tokens(name.len() + arguments.len()),
        }
    }
    let asked = |field: &str| {
        let field = request.body().get(field);
        field.map_or(0, |asked| asked.to_string().len())
    };
    // What is said and offered, by the names of any wire.
    let fields = [
        "system",
        "messages",
        "instructions",
        "input",
        "systemInstruction",
        "contents",
        "tools",
    ];
    Tokens {
        input: tokens(fields.into_iter().map(asked).sum()),
        cached: 0,
        output: reasoning + output,
        reasoning,
    }
}
