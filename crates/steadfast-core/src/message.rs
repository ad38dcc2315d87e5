//! Messages and their content blocks: what a history is made of. No wire format lives here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::usage::{StopReason, Usage};

/// Who a message is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// The person or program that prompts, and the results of tools.
    User,
    /// The model.
    Assistant,
}

/// One message of a history.
///
/// ```
/// use steadfast_core::Message;
///
/// let message = Message::user("Should I take an umbrella?");
/// assert_eq!(message.text(), "Should I take an umbrella?");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// Who it is from.
    pub role: Role,
    /// What it says, in order.
    pub content: Vec<ContentBlock>,
    /// Why the model stopped; only on an assistant's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<StopReason>,
    /// What the message cost, in tokens; only on an assistant's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl Message {
    /// Makes a message of content blocks.
    pub fn new(role: Role, content: impl IntoIterator<Item = ContentBlock>) -> Self {
        Self {
            role,
            content: content.into_iter().collect(),
            stop_reason: None,
            usage: None,
        }
    }

    /// Makes a user's message of one text.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, [ContentBlock::text(text)])
    }

    /// Makes an assistant's message of one text.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, [ContentBlock::text(text)])
    }

    /// Makes the message that answers a round of tool calls.
    pub fn tool_results(results: impl IntoIterator<Item = ToolResult>) -> Self {
        Self::new(
            Role::User,
            results.into_iter().map(ContentBlock::ToolResult),
        )
    }

    /// Returns the text of the message, refusals included.
    ///
    /// Tool calls and reasoning have none.
    ///
    /// It borrows where the message has a single text, which is the usual case.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        let mut texts = self.content.iter().filter_map(|block| match block {
            ContentBlock::Text { text } | ContentBlock::Refusal { text } => Some(text.as_str()),
            _ => None,
        });
        let Some(first) = texts.next() else {
            return Cow::Borrowed("");
        };
        texts.fold(Cow::Borrowed(first), |joined, text| joined + text)
    }

    /// Returns the tool calls that the message asks for, in the model's order.
    pub fn tool_uses(&self) -> impl Iterator<Item = &ToolUse> {
        self.content.iter().filter_map(|block| match block {
            ContentBlock::ToolUse(tool_use) => Some(tool_use),
            _ => None,
        })
    }
}

/// One part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ContentBlock {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// The model's own words for declining.
    Refusal {
        /// The text.
        text: String,
    },
    /// What the model thought before it answered.
    Reasoning(Reasoning),
    /// A tool call that the model asks for.
    ToolUse(ToolUse),
    /// What a tool answered.
    ToolResult(ToolResult),
    /// An image.
    Image {
        /// Where its bytes are.
        source: MediaSource,
    },
    /// A document, such as a PDF.
    Document {
        /// Where its bytes are.
        source: MediaSource,
        /// The name by which the model may refer to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// A block that only its provider understands, such as a call of a tool that the provider runs
    /// by itself, and what that tool answered.
    ///
    /// It keeps its place and goes back as it came.
    Opaque {
        /// The block, under the name of the wire that it came by, such as `{"anthropic": {…}}`.
        ///
        /// Other wires skip it.
        data: Value,
    },
}

impl ContentBlock {
    /// Makes a block of plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// Makes an image block of an address that the provider fetches.
    pub fn image_url(url: impl Into<String>) -> Self {
        Self::Image {
            source: MediaSource::Url { url: url.into() },
        }
    }

    /// Makes an image block of bytes in base64.
    ///
    /// The media type is such as `image/png`.
    pub fn image_base64(media_type: impl Into<String>, data: impl Into<String>) -> Self {
        Self::Image {
            source: MediaSource::Base64 {
                media_type: media_type.into(),
                data: data.into(),
            },
        }
    }
}

/// Where the bytes of an image or document are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum MediaSource {
    /// At an address that the provider fetches.
    Url {
        /// The address.
        url: String,
    },
    /// Here, in base64.
    Base64 {
        /// The media type, such as `image/png`.
        media_type: String,
        /// The bytes in base64.
        data: String,
    },
}

/// What the model thought before it answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reasoning {
    /// The thoughts, as far as the provider shows them.
    #[serde(default)]
    pub text: String,
    /// Data of the provider's own, such as signatures, carried back unread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<Value>,
}

impl Reasoning {
    /// Makes a block of visible thoughts.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            opaque: None,
        }
    }

    /// Adds what the provider wants back.
    #[must_use]
    pub fn with_opaque(mut self, opaque: Value) -> Self {
        self.opaque = Some(opaque);
        self
    }
}

/// A tool call that the model asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolUse {
    /// The provider's identity of the call; its result carries the same.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments.
    ///
    /// A string where the model's text was not JSON, as after a cut at the output limit: the raw
    /// text then, so that nothing is lost.
    pub input: Value,
}

impl ToolUse {
    /// Makes a call.
    pub fn new(id: impl Into<String>, name: impl Into<String>, input: Value) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            input,
        }
    }
}

/// What a tool answered, or what went wrong, for the model to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolResult {
    /// The identity of the call that this answers.
    pub id: String,
    /// The tool's name; some wires want it back.
    pub name: String,
    /// The answer.
    pub content: Vec<ContentBlock>,
    /// Whether the call failed.
    #[serde(default)]
    pub is_error: bool,
}

impl ToolResult {
    /// Makes the result of a call that worked.
    #[must_use]
    pub fn ok(call: &ToolUse, content: Vec<ContentBlock>) -> Self {
        Self {
            id: call.id.clone(),
            name: call.name.clone(),
            content,
            is_error: false,
        }
    }

    /// Makes the result of a call that failed, with a sentence that the model reads.
    pub fn error(call: &ToolUse, problem: impl Into<String>) -> Self {
        Self {
            is_error: true,
            ..Self::ok(call, vec![ContentBlock::text(problem)])
        }
    }

    /// Returns the text of the answer.
    #[must_use]
    pub fn text(&self) -> String {
        self.content
            .iter()
            .filter_map(|block| match block {
                ContentBlock::Text { text } => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_joins_texts_and_refusals_only() {
        let message = Message::new(
            Role::Assistant,
            [
                ContentBlock::Reasoning(Reasoning::new("hm")),
                ContentBlock::text("a"),
                ContentBlock::ToolUse(ToolUse::new("1", "t", json!({}))),
                ContentBlock::Refusal { text: "b".into() },
            ],
        );

        assert_eq!(message.text(), "ab");
        assert!(matches!(Message::user("x").text(), Cow::Borrowed("x")));
    }

    #[test]
    fn blocks_have_the_documented_json_form() {
        let call = ToolUse::new("c1", "get_weather", json!({"city": "Oslo"}));
        let result = ToolResult::ok(&call, vec![ContentBlock::text("rain")]);
        let cases = [
            (
                ContentBlock::text("hi"),
                json!({"type": "text", "text": "hi"}),
            ),
            (
                ContentBlock::ToolUse(call),
                json!({"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Oslo"}}),
            ),
            (
                ContentBlock::ToolResult(result),
                json!({"type": "tool_result", "id": "c1", "name": "get_weather",
                       "content": [{"type": "text", "text": "rain"}], "is_error": false}),
            ),
            (
                ContentBlock::image_url("http://h/i.png"),
                json!({"type": "image", "source": {"type": "url", "url": "http://h/i.png"}}),
            ),
            (
                ContentBlock::Opaque {
                    data: json!({"anthropic": {"type": "server_tool_use"}}),
                },
                json!({"type": "opaque", "data": {"anthropic": {"type": "server_tool_use"}}}),
            ),
        ];
        for (block, expected) in cases {
            assert_eq!(serde_json::to_value(&block).unwrap(), expected);
            assert_eq!(
                serde_json::from_value::<ContentBlock>(expected).unwrap(),
                block
            );
        }
    }
}
