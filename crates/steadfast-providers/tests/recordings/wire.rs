//! What a recording says in this project's terms, and what differs between wires in reading it.

use std::sync::Arc;

use serde_json::Value;
use steadfast_core::{
    Message, Model, ModelErrorKind, ModelSettings, StopReason, Tool, ToolContext, ToolError,
    ToolOutput, ToolSpec, async_trait,
};
use steadfast_sim::RecordedExchange;

pub(crate) type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// How recordings of one wire are read and sent again.
pub(crate) struct RecordedWire {
    /// How the paths of its calls end.
    pub(crate) path: &'static str,
    pub(crate) model: fn(name: String, base_url: String) -> TestResult<Box<dyn Model>>,
    pub(crate) read_request: fn(&Value) -> TestResult<RecordedRequest>,
    pub(crate) read_answer: fn(&RecordedExchange) -> TestResult<Expected>,
    pub(crate) error_kind: fn(status: u16, body: &str) -> ModelErrorKind,
    /// Takes differences out of a request that mean nothing.
    pub(crate) normalise: fn(&mut Value),
}

/// What a recording says, read independently of the code under test.
#[derive(Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) calls: Vec<(String, String, Value)>,
    /// The types of the blocks that only the provider understands.
    pub(crate) own_blocks: Vec<String>,
    pub(crate) stop: StopReason,
    pub(crate) usage: (u64, u64),
}

impl Default for Expected {
    fn default() -> Self {
        Self {
            text: String::new(),
            reasoning: String::new(),
            calls: Vec::new(),
            own_blocks: Vec::new(),
            stop: StopReason::EndTurn,
            usage: (0, 0),
        }
    }
}

/// A recorded request in this project's terms.
pub(crate) struct RecordedRequest {
    pub(crate) model: String,
    pub(crate) system: Option<String>,
    pub(crate) history: Vec<Message>,
    pub(crate) prompt: Message,
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    pub(crate) settings: ModelSettings,
}

/// A tool that is described as recorded and never run.
struct Described(ToolSpec);

/// Describes a tool as recorded.
pub(crate) fn described(name: &Value, description: &Value, schema: &Value) -> Arc<dyn Tool> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let spec = ToolSpec::new(text(name), text(description), schema.clone());
    Arc::new(Described(spec))
}

#[async_trait]
impl Tool for Described {
    fn spec(&self) -> ToolSpec {
        self.0.clone()
    }

    async fn call(&self, _input: Value, _context: &ToolContext) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::text("not asked for"))
    }
}

/// Joins the texts of a content.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}
