//! How large a request probably is, in tokens. No model's tokenizer is known here.

use serde_json::Value;

use super::ModelRequest;
use crate::message::{ContentBlock, MediaSource, Message};

/// How many bytes of text are taken for a token.
const BYTES_A_TOKEN: u64 = 3;
/// What stands around a message or a tool.
const FRAME: u64 = 4;
/// An image of common size.
const IMAGE: u64 = 1_600;
/// A document that only its address is known of: a page or two.
const LINKED_DOCUMENT: u64 = 3_000;
/// How many bytes of base64 are taken for a token of a document that is no text: some 75 kB a page.
const BASE64_A_TOKEN: u64 = 32;

impl ModelRequest {
    /// Estimates how many tokens the model reads.
    ///
    /// What an earlier answer of the history has cost says what everything up to it takes; only what came
    /// since is estimated, so that a long conversation is cheap to ask about and close to the truth.
    /// Texts count one token for three bytes: English has one for four, while code, JSON and Chinese come
    /// near to three. An image counts 1,600, and a document goes by its size.
    ///
    /// ```
    /// use steadfast_core::{Message, ModelRequest, Usage};
    ///
    /// let prompt = Message::user("Should I take an umbrella to Oslo?");
    /// let request = ModelRequest::new([prompt.clone()]);
    /// assert_eq!(request.estimated_input_tokens(), 12 + 4);
    ///
    /// let mut answer = Message::assistant("Yes.");
    /// answer.usage = Some(Usage::new(17, 3));
    /// let request = ModelRequest::new([prompt, answer, Message::user("Why?")]);
    /// assert_eq!(request.estimated_input_tokens(), 17 + 3 + 2 + 4);
    /// ```
    #[must_use]
    pub fn estimated_input_tokens(&self) -> u64 {
        let mut tokens = 0_u64;
        for message in self.history.iter().rev() {
            if let Some(usage) = message.usage.filter(|usage| usage.input_tokens > 0) {
                return tokens.saturating_add(usage.total());
            }
            tokens = tokens.saturating_add(of_message(message));
        }
        let system = self.system().map_or(0, of_text);
        let tools = self.tools().iter().map(|tool| {
            let named = of_text(&tool.name) + of_text(&tool.description);
            FRAME + named + of_value(&tool.input_schema)
        });
        tokens
            .saturating_add(system)
            .saturating_add(tools.sum::<u64>())
    }
}

fn of_message(message: &Message) -> u64 {
    FRAME + message.content.iter().map(of_block).sum::<u64>()
}

fn of_block(block: &ContentBlock) -> u64 {
    match block {
        ContentBlock::Text { text } | ContentBlock::Refusal { text } => of_text(text),
        ContentBlock::Reasoning(reasoning) => of_text(&reasoning.text),
        ContentBlock::ToolUse(call) => FRAME + of_text(&call.name) + of_value(&call.input),
        ContentBlock::ToolResult(result) => {
            FRAME + result.content.iter().map(of_block).sum::<u64>()
        }
        ContentBlock::Image { .. } => IMAGE,
        ContentBlock::Document { source, .. } => of_document(source),
        ContentBlock::Opaque { data } => of_value(data),
    }
}

fn of_document(source: &MediaSource) -> u64 {
    match source {
        MediaSource::Url { .. } => LINKED_DOCUMENT,
        MediaSource::Base64 { media_type, data } => {
            // Four characters of base64 are three bytes.
            let is_text = media_type.starts_with("text/") || media_type.ends_with("json");
            let token = if is_text { 4 } else { BASE64_A_TOKEN };
            bytes(data).div_ceil(token)
        }
    }
}

fn of_value(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 2,
        Value::String(text) => 1 + of_text(text),
        Value::Array(items) => 1 + items.iter().map(of_value).sum::<u64>(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| 1 + of_text(name) + of_value(value);
            1 + fields.iter().map(field).sum::<u64>()
        }
    }
}

fn of_text(text: &str) -> u64 {
    bytes(text).div_ceil(BYTES_A_TOKEN)
}

fn bytes(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        message::{ToolResult, ToolUse},
        tool::ToolSpec,
        usage::Usage,
    };

    fn check(content: Vec<ContentBlock>, expected: u64) {
        let request = ModelRequest::new([Message::new(crate::Role::User, content)]);
        assert_eq!(request.estimated_input_tokens(), FRAME + expected);
    }

    #[test]
    fn every_kind_of_block_counts() {
        let call = ToolUse::new("call_1", "get", json!({"city": "Oslo"}));
        let base64 = |media_type: &str, length| MediaSource::Base64 {
            media_type: media_type.into(),
            data: "A".repeat(length),
        };
        let document = |source| ContentBlock::Document { source, name: None };

        check(vec![ContentBlock::text("A".repeat(300))], 100);
        check(vec![ContentBlock::text("天气".repeat(50))], 100);
        check(vec![ContentBlock::ToolUse(call.clone())], 4 + 1 + 7);
        check(
            vec![ContentBlock::ToolResult(ToolResult::ok(
                &call,
                vec![ContentBlock::text("rain!!")],
            ))],
            4 + 2,
        );
        check(vec![ContentBlock::image_url("http://localhost")], 1_600);
        check(vec![document(base64("application/pdf", 96_000))], 3_000);
        check(vec![document(base64("text/plain", 4_000))], 1_000);
        check(
            vec![document(MediaSource::Url { url: String::new() })],
            3_000,
        );
    }

    #[test]
    fn system_prompt_and_tools_count_until_an_answer_has_told() {
        let tool = ToolSpec::new("get", "Gets it.", json!({"type": "object"}));
        let bare = ModelRequest::new([Message::user("?")]);
        let full = bare.clone().with_system("Be brief.").with_tools([tool]);
        assert_eq!(bare.estimated_input_tokens(), 5);
        assert_eq!(full.estimated_input_tokens(), 5 + 3 + (4 + 1 + 3 + 7));

        let mut answer = Message::assistant("!");
        answer.usage = Some(Usage::new(500, 40));
        let later = ModelRequest::new([Message::user("?"), answer, Message::user("why")]);

        let later = later.with_system("Be brief.");
        assert_eq!(later.estimated_input_tokens(), 540 + 5);
    }

    #[test]
    fn answer_that_does_not_say_what_it_cost_is_estimated_too() {
        let mut answer = Message::assistant("A".repeat(30));
        answer.usage = Some(Usage::default());

        let request = ModelRequest::new([Message::user("?"), answer]);

        assert_eq!(request.estimated_input_tokens(), 5 + 14);
    }
}
