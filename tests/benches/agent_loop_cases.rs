//! What is measured: each case of ours beside the same work written by hand.

use std::{future::Future, pin::Pin};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde_json::Value;
use steadfast::{
    AfterModelCallEvent, Agent, AgentBuilder, ContentBlock, FleetRetryStrategy, FunctionTool,
    Message, Model, ModelDelta, ModelError, ModelErrorKind, ModelRequest, ModelRetryStrategy,
    ModelStream, NoopRetryStrategy, StopReason, ToolError, ToolUse, Usage,
};
use tokio::runtime::Runtime;

/// One round of a case.
pub type Run = Box<dyn FnMut() -> usize>;

pub struct Case {
    pub name: &'static str,
    /// The case written by hand that this one is compared with; empty for those themselves.
    pub floor: &'static str,
    pub prepare: fn() -> Run,
    /// Rounds of the short and the long run under callgrind.
    pub callgrind_rounds: (u32, u32),
}

const fn case(name: &'static str, floor: &'static str, prepare: fn() -> Run, long: u32) -> Case {
    Case {
        name,
        floor,
        prepare,
        callgrind_rounds: (long / 10, long),
    }
}

pub const CASES: &[Case] = &[
    case("by hand: text turn", "", || by_hand_text(0), 1_000),
    case(
        "by hand: text turn, history 4000",
        "",
        || by_hand_text(4_000),
        1_000,
    ),
    case("by hand: tool turn", "", || by_hand_tools(1), 1_000),
    case("by hand: 10 tool turns", "", || by_hand_tools(10), 200),
    case("by hand: 100 tool turns", "", || by_hand_tools(100), 50),
    case("by hand: 1000 tool turns", "", || by_hand_tools(1_000), 20),
    case(
        "text turn",
        "by hand: text turn",
        || text_turn(|builder| builder),
        1_000,
    ),
    case(
        "text turn, streamed",
        "by hand: text turn",
        streamed_turn,
        1_000,
    ),
    case(
        "text turn, 1 hook",
        "by hand: text turn",
        || text_turn(|builder| hooks(builder, 1)),
        1_000,
    ),
    case(
        "text turn, 10 hooks",
        "by hand: text turn",
        || text_turn(|builder| hooks(builder, 10)),
        1_000,
    ),
    case(
        "text turn, fleet strategy",
        "by hand: text turn",
        || text_turn(|builder| builder.retry_strategy(FleetRetryStrategy::new())),
        1_000,
    ),
    case(
        "text turn after one retry",
        "by hand: text turn",
        retried_turn,
        1_000,
    ),
    case(
        "text turn, history 0",
        "by hand: text turn",
        || history_turn(0),
        500,
    ),
    case(
        "text turn, history 100",
        "by hand: text turn",
        || history_turn(100),
        500,
    ),
    case(
        "text turn, history 1000",
        "by hand: text turn",
        || history_turn(1_000),
        500,
    ),
    case(
        "text turn, history 4000",
        "by hand: text turn, history 4000",
        || history_turn(4_000),
        500,
    ),
    case("tool turn", "by hand: tool turn", || tool_turns(1), 1_000),
    case(
        "10 tool turns",
        "by hand: 10 tool turns",
        || tool_turns(10),
        200,
    ),
    case(
        "100 tool turns",
        "by hand: 100 tool turns",
        || tool_turns(100),
        50,
    ),
    case(
        "1000 tool turns",
        "by hand: 1000 tool turns",
        || tool_turns(1_000),
        20,
    ),
];

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

/// A model in the process: five events a text turn, as many tool turns as wanted before it.
#[derive(Clone)]
struct InProcess {
    tool_turns: usize,
    failures: usize,
}

fn text_deltas() -> [ModelDelta; 5] {
    [
        ModelDelta::Started { request_id: None },
        ModelDelta::Text("Take one, ".into()),
        ModelDelta::Text("it will rain.".into()),
        ModelDelta::Usage(Usage::new(10, 5)),
        ModelDelta::Stop(StopReason::EndTurn),
    ]
}

fn tool_deltas() -> [ModelDelta; 5] {
    [
        ModelDelta::Started { request_id: None },
        ModelDelta::ToolUseStart {
            index: 0,
            id: "call_1".into(),
            name: "add".into(),
        },
        ModelDelta::ToolUseInput {
            index: 0,
            json: "{\"a\":1}".into(),
        },
        ModelDelta::Usage(Usage::new(10, 5)),
        ModelDelta::Stop(StopReason::ToolUse),
    ]
}

#[async_trait]
impl Model for InProcess {
    fn name(&self) -> &'static str {
        "in-process"
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        if request.attempt() <= u32::try_from(self.failures).unwrap_or(0) {
            return Err(ModelError::new(ModelErrorKind::Throttled, "slow down"));
        }
        // Of a prompt with tools, every second message answers one.
        let answered = request.history().tail().len() / 2;
        if answered < self.tool_turns {
            Ok(ModelStream::from_deltas(tool_deltas()))
        } else {
            Ok(ModelStream::from_deltas(text_deltas()))
        }
    }
}

fn add_tool() -> FunctionTool {
    FunctionTool::new("add", "Adds one.", |input: Value| async move {
        Ok::<_, ToolError>(input["a"].as_i64().unwrap_or_default() + 1)
    })
}

fn prompts(runtime: Runtime, agent: Agent) -> Run {
    Box::new(move || {
        let answer = runtime.block_on(async { agent.prompt("Umbrella?").await });
        answer.expect("an answer").text().len()
    })
}

fn text_turn(with: fn(AgentBuilder) -> AgentBuilder) -> Run {
    let model = InProcess {
        tool_turns: 0,
        failures: 0,
    };
    prompts(
        runtime(),
        with(Agent::builder().model(model))
            .build()
            .expect("an agent"),
    )
}

fn streamed_turn() -> Run {
    let model = InProcess {
        tool_turns: 0,
        failures: 0,
    };
    let agent = Agent::builder().model(model).build().expect("an agent");
    let runtime = runtime();
    Box::new(move || {
        runtime.block_on(async {
            let mut events = agent.prompt("Umbrella?").stream();
            let mut seen = 0;
            while events.next().await.is_some() {
                seen += 1;
            }
            seen
        })
    })
}

fn hooks(mut builder: AgentBuilder, count: usize) -> AgentBuilder {
    for _ in 0..count {
        builder = builder.on(|event: &mut AfterModelCallEvent| {
            if event.attempt() > 1_000 {
                event.retry = true;
            }
        });
    }
    builder
}

fn retried_turn() -> Run {
    let model = InProcess {
        tool_turns: 0,
        failures: 1,
    };
    let strategy = ModelRetryStrategy::new().initial_delay(std::time::Duration::ZERO);
    let agent = Agent::builder()
        .model(model)
        .retry_strategy(strategy)
        .build()
        .expect("an agent");
    prompts(runtime(), agent)
}

fn tool_turns(turns: usize) -> Run {
    let model = InProcess {
        tool_turns: turns,
        failures: 0,
    };
    let agent = Agent::builder()
        .model(model)
        .tool(add_tool())
        .max_turns(u32::MAX)
        .retry_strategy(NoopRetryStrategy)
        .build()
        .expect("an agent");
    prompts(runtime(), agent)
}

fn filled(messages: usize) -> Vec<Message> {
    (0..messages)
        .map(|place| {
            if place % 2 == 0 {
                Message::user("and?")
            } else {
                Message::assistant("so.")
            }
        })
        .collect()
}

fn history_turn(messages: usize) -> Run {
    let model = InProcess {
        tool_turns: 0,
        failures: 0,
    };
    let agent = Agent::builder().model(model).build().expect("an agent");
    let mut conversation = agent.conversation().with_messages(filled(messages));
    let runtime = runtime();
    Box::new(move || {
        let answer = runtime.block_on(async { conversation.prompt("Umbrella?").await });
        answer.expect("an answer").text().len()
    })
}

/// What a person writes who needs no more: no hooks, no retries, no events, no limits.
async fn by_hand(
    model: &InProcess,
    request: &ModelRequest,
    history: &mut Vec<Message>,
    turns: usize,
) -> usize {
    for turn in 0..=turns {
        let mut stream = if turn < turns {
            ModelStream::from_deltas(tool_deltas())
        } else {
            model.stream(request.clone()).await.expect("an answer")
        };
        let (mut text, mut calls, mut usage) = (String::new(), Vec::new(), Usage::default());
        while let Some(delta) = stream.next().await {
            match delta.expect("a delta") {
                ModelDelta::Text(piece) => text.push_str(&piece),
                ModelDelta::ToolUseStart { id, name, .. } => calls.push((id, name, String::new())),
                ModelDelta::ToolUseInput { index, json } => calls[index].2.push_str(&json),
                ModelDelta::Usage(total) => usage = total,
                _ => {}
            }
        }
        std::hint::black_box(usage);
        if calls.is_empty() {
            history.push(Message::assistant(text));
            continue;
        }
        let mut blocks = Vec::new();
        let mut results = Vec::new();
        for (id, name, arguments) in calls {
            let call = ToolUse::new(
                id,
                name,
                serde_json::from_str(&arguments).expect("arguments"),
            );
            let output = call_tool(call.input.clone()).await;
            results.push(steadfast::ToolResult::ok(
                &call,
                vec![ContentBlock::text(output)],
            ));
            blocks.push(ContentBlock::ToolUse(call));
        }
        history.push(Message::new(steadfast::Role::Assistant, blocks));
        history.push(Message::tool_results(results));
    }
    history
        .last()
        .map(|message| message.text().len())
        .unwrap_or_default()
}

fn call_tool(input: Value) -> Pin<Box<dyn Future<Output = String> + Send>> {
    Box::pin(async move { (input["a"].as_i64().unwrap_or_default() + 1).to_string() })
}

fn by_hand_text(messages: usize) -> Run {
    let runtime = runtime();
    let model = InProcess {
        tool_turns: 0,
        failures: 0,
    };
    let request = ModelRequest::new(filled(messages));
    let mut history = filled(messages);
    Box::new(move || {
        history.push(Message::user("Umbrella?"));
        runtime.block_on(by_hand(&model, &request, &mut history, 0))
    })
}

fn by_hand_tools(turns: usize) -> Run {
    let runtime = runtime();
    let model = InProcess {
        tool_turns: 0,
        failures: 0,
    };
    let request = ModelRequest::new([]);
    Box::new(move || {
        let mut history = vec![Message::user("Umbrella?")];
        runtime.block_on(by_hand(&model, &request, &mut history, turns))
    })
}
