//! The events of ConverseStream, from what the SDK decodes to deltas. What an error is, and how the
//! bytes come, is not decided here.

mod finish;
mod open_block;

use std::collections::VecDeque;

use aws_sdk_bedrockruntime::types::{
    ContentBlockDelta, ContentBlockDeltaEvent, ContentBlockStart, ContentBlockStartEvent,
    ConverseStreamOutput, ReasoningContentBlockDelta, TokenUsage, ToolUseType,
};
use steadfast_core::{ModelDelta, ModelError, StopReason, Usage};

use crate::{answer_deltas::MAX_KEPT_BYTES, http_client::Head};
pub(super) use finish::settle;
use open_block::OpenBlock;
pub(super) use open_block::{own, redacted_thinking, signed_thinking};

/// Decodes the events of one answer.
#[derive(Default)]
pub(super) struct Decoder {
    /// The block that is being told, if its end says anything.
    open: Option<(i32, OpenBlock)>,
    /// Whether the answer has said anything.
    spoke: bool,
    stop: Option<StopReason>,
    /// How much was kept for the end of a block.
    kept: usize,
}

impl Decoder {
    /// Returns why the model stopped, once it has.
    pub(super) const fn stop(&self) -> Option<StopReason> {
        self.stop
    }

    /// Decodes one event. Returns whether it was the last.
    pub(super) fn take(
        &mut self,
        event: ConverseStreamOutput,
        head: &Head,
        deltas: &mut VecDeque<ModelDelta>,
    ) -> Result<bool, ModelError> {
        match event {
            ConverseStreamOutput::Metadata(metadata) => {
                deltas.extend(metadata.usage.as_ref().map(usage).map(ModelDelta::Usage));
                return Ok(self.stop.is_some());
            }
            // Nothing else behind the end marker is part of the answer: whether it comes is chance.
            _ if self.stop.is_some() => {}
            ConverseStreamOutput::ContentBlockStart(start) => self.start(start, deltas),
            ConverseStreamOutput::ContentBlockDelta(delta) => {
                if let Some(piece) = &delta.delta {
                    self.kept = self.kept.saturating_add(open_block::kept_of(piece));
                }
                if self.kept > MAX_KEPT_BYTES {
                    return Err(head.blocks_too_long());
                }
                self.delta(delta, deltas);
            }
            ConverseStreamOutput::ContentBlockStop(_) => self.close(deltas),
            ConverseStreamOutput::MessageStop(end) => {
                self.close(deltas);
                self.stop = Some(settle(&end.stop_reason, self.spoke, head)?);
            }
            // That the message starts says nothing, and what is not known is passed over.
            _ => {}
        }
        Ok(false)
    }

    fn start(&mut self, event: ContentBlockStartEvent, deltas: &mut VecDeque<ModelDelta>) {
        self.close(deltas);
        match event.start {
            Some(ContentBlockStart::ToolUse(call)) => {
                self.spoke = true;
                if call.r#type == Some(ToolUseType::ServerToolUse) {
                    let open = OpenBlock::server_call(call.tool_use_id, call.name);
                    self.open = Some((event.content_block_index, open));
                    return;
                }
                let index = index_of(event.content_block_index);
                let id = if call.tool_use_id.is_empty() {
                    format!("call_{index}")
                } else {
                    call.tool_use_id
                };
                deltas.push_back(ModelDelta::ToolUseStart {
                    index,
                    id,
                    name: call.name,
                });
            }
            Some(ContentBlockStart::ToolResult(result)) => {
                let open = OpenBlock::server_result(&result);
                self.open = Some((event.content_block_index, open));
            }
            _ => {}
        }
    }

    fn delta(&mut self, event: ContentBlockDeltaEvent, deltas: &mut VecDeque<ModelDelta>) {
        let index = event.content_block_index;
        if self.open.as_ref().is_some_and(|(open, _)| *open != index) {
            // The end of the block before got lost.
            self.close(deltas);
        }
        match event.delta {
            Some(ContentBlockDelta::Text(text)) => {
                self.spoke |= !text.is_empty();
                if !text.is_empty() {
                    deltas.push_back(ModelDelta::Text(text));
                }
            }
            Some(ContentBlockDelta::ToolUse(piece)) => match &mut self.open {
                Some((_, open)) => open.add_input(&piece.input),
                None => deltas.push_back(ModelDelta::ToolUseInput {
                    index: index_of(index),
                    json: piece.input,
                }),
            },
            Some(ContentBlockDelta::ReasoningContent(piece)) => {
                self.think(index, piece, deltas);
            }
            Some(ContentBlockDelta::ToolResult(pieces)) => {
                if let Some((_, open)) = &mut self.open {
                    open.add_results(&pieces);
                }
            }
            // Citations and images have no place in a message here, and what is not known neither.
            _ => {}
        }
    }

    fn think(
        &mut self,
        index: i32,
        piece: ReasoningContentBlockDelta,
        deltas: &mut VecDeque<ModelDelta>,
    ) {
        let open = &mut self.open.get_or_insert((index, OpenBlock::thinking())).1;
        match piece {
            ReasoningContentBlockDelta::Text(text) if !text.is_empty() => {
                deltas.push_back(ModelDelta::Reasoning(text));
            }
            ReasoningContentBlockDelta::Signature(signature) => open.add_signature(&signature),
            ReasoningContentBlockDelta::RedactedContent(data) => open.add_redacted(data.as_ref()),
            _ => {}
        }
    }

    /// Ends the block that is open.
    fn close(&mut self, deltas: &mut VecDeque<ModelDelta>) {
        let closed = self.open.take().and_then(|(_, open)| open.close());
        deltas.extend(closed);
    }
}

/// Reads what an answer cost. The vendor counts cached tokens apart from the rest of the input.
pub(super) fn usage(told: &TokenUsage) -> Usage {
    let count = |tokens: Option<i32>| u64::try_from(tokens.unwrap_or_default()).unwrap_or_default();
    let read = count(told.cache_read_input_tokens);
    let written = count(told.cache_write_input_tokens);
    let mut usage = Usage::new(
        count(Some(told.input_tokens)) + read + written,
        count(Some(told.output_tokens)),
    );
    usage.cache_read_tokens = read;
    usage.cache_write_tokens = written;
    usage
}

fn index_of(block: i32) -> usize {
    usize::try_from(block).unwrap_or_default()
}
