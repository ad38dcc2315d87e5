//! Blocks that have begun and not ended: what is said of them only at their end.

use serde_json::{Map, Value, json, value::RawValue};
use steadfast_core::ModelDelta;

use super::{super::request_wire::OPAQUE_KEY, event::OwnDelta};
use crate::request_body::as_object;

/// A block of which something has come.
pub(super) struct OpenBlock {
    pub(super) index: usize,
    pub(super) open: Open,
}

pub(super) enum Open {
    Thinking {
        signature: String,
    },
    ToolUse {
        /// The arguments that came with the beginning; none once pieces have come.
        input: Option<String>,
    },
    Own(OwnBlock),
}

/// A block that only the provider understands.
pub(super) struct OwnBlock {
    block: Map<String, Value>,
    /// The pieces of its arguments, if it is a call.
    pub(super) input: String,
}

impl Open {
    /// Begins a block of the provider's own.
    pub(super) fn own(raw: &RawValue) -> Self {
        Self::Own(OwnBlock {
            block: serde_json::from_str(raw.get()).unwrap_or_default(),
            input: String::new(),
        })
    }
}

impl OwnBlock {
    /// Takes a piece of a type that nothing is known of: its texts grow those of the block, anything
    /// else replaces.
    pub(super) fn grow(&mut self, data: &[u8]) {
        let Ok(OwnDelta { delta }) = serde_json::from_slice(data) else {
            return;
        };
        for (field, value) in delta {
            match (self.block.get_mut(&field), value) {
                _ if field == "type" => {}
                (Some(Value::String(text)), Value::String(piece)) => text.push_str(&piece),
                (_, value) => {
                    self.block.insert(field, value);
                }
            }
        }
    }
}

impl OpenBlock {
    /// Ends the block.
    pub(super) fn close(self) -> Option<ModelDelta> {
        match self.open {
            Open::Thinking { signature } => {
                let own = json!({ OPAQUE_KEY: { "signature": signature } });
                Some(ModelDelta::ReasoningOpaque(own))
            }
            Open::ToolUse { input } => {
                let json = input.filter(|input| input != "{}")?;
                let index = self.index;
                Some(ModelDelta::ToolUseInput { index, json })
            }
            Open::Own(OwnBlock { mut block, input }) => {
                if !input.is_empty() {
                    let input = serde_json::from_str(&input).unwrap_or(Value::String(input));
                    block.insert("input".to_owned(), as_object(&input).into_owned().into());
                }
                Some(ModelDelta::Opaque(json!({ OPAQUE_KEY: block })))
            }
        }
    }
}
