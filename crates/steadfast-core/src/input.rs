//! What a prompt may be made of.

use crate::message::{ContentBlock, Message, Role};

/// The messages of a prompt.
///
/// Made of a text, of blocks such as a text and an image, or of whole messages.
///
/// ```
/// use steadfast_core::{ContentBlock, Input};
///
/// let text: Input = "What is this?".into();
/// let with_image: Input = vec![
///     ContentBlock::text("What is this?"),
///     ContentBlock::image_url("https://example.org/cat.png"),
/// ].into();
/// # let _ = (text, with_image);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Input(pub(crate) Vec<Message>);

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        Self(vec![Message::user(text)])
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        Self(vec![Message::user(text)])
    }
}

impl From<&String> for Input {
    fn from(text: &String) -> Self {
        Self(vec![Message::user(text)])
    }
}

impl From<Vec<ContentBlock>> for Input {
    fn from(blocks: Vec<ContentBlock>) -> Self {
        Self(vec![Message::new(Role::User, blocks)])
    }
}

impl From<Message> for Input {
    fn from(message: Message) -> Self {
        Self(vec![message])
    }
}

impl From<Vec<Message>> for Input {
    fn from(messages: Vec<Message>) -> Self {
        Self(messages)
    }
}
