//! A run that awaits everywhere a run can: an async hook at each event, an attempt that fails after
//! text, a wait, two tools of which one is retried after a wait, and a second turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream;
use serde_json::{Value, json};
use steadfast_core::{
    AfterInvocationEvent, AfterModelCallEvent, AfterToolCallEvent, AfterToolsEvent, Agent,
    AgentEvent, AsyncHookEvent, AttemptDiscardedEvent, BeforeInvocationEvent, BeforeModelCallEvent,
    BeforeToolCallEvent, BeforeToolsEvent, ConfigError, EventLoopThrottleEvent, ForceStopEvent,
    FunctionTool, HookRegistry, MessageAddedEvent, Model, ModelDelta, ModelError, ModelErrorKind,
    ModelRequest, ModelStream, Role, StopReason, ToolError, async_trait, secs,
};
use tokio::time::Instant;

use crate::{
    gates::Gates,
    laws::{self, Seen},
};

/// How many pieces the last answer is given in: more than a stream keeps for a slow viewer.
const BURST: usize = 40;

/// The text of the last answer.
pub(crate) fn answer() -> String {
    "Rain. ".repeat(BURST)
}

/// What an observer was told, and when.
#[derive(Debug)]
pub(crate) struct Told {
    began: Instant,
    seen: Mutex<Vec<Seen>>,
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    /// Forgets what was told.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }
}

/// An agent that answers so, with what it tells. Its prompts come after so many answers.
pub(crate) fn agent(
    gates: &Arc<Gates>,
    answers_before: usize,
) -> Result<(Agent, Arc<Told>), ConfigError> {
    let told = Arc::new(Told {
        began: Instant::now(),
        seen: Mutex::default(),
    });
    let mut hooks = HookRegistry::new();
    let telling = Arc::clone(&told);
    hooks.observe(move |event: &AgentEvent| {
        telling
            .lock()
            .push((telling.began.elapsed(), event.clone()));
    });
    await_at::<BeforeInvocationEvent>(&mut hooks, gates);
    await_at::<AfterInvocationEvent>(&mut hooks, gates);
    await_at::<MessageAddedEvent>(&mut hooks, gates);
    await_at::<BeforeModelCallEvent>(&mut hooks, gates);
    await_at::<AfterModelCallEvent>(&mut hooks, gates);
    // A second one, so that one hook of an event is asked after another was cut short.
    await_at::<AfterModelCallEvent>(&mut hooks, gates);
    await_at::<BeforeToolsEvent>(&mut hooks, gates);
    await_at::<AfterToolsEvent>(&mut hooks, gates);
    await_at::<BeforeToolCallEvent>(&mut hooks, gates);
    await_at::<AfterToolCallEvent>(&mut hooks, gates);
    await_at::<EventLoopThrottleEvent>(&mut hooks, gates);
    await_at::<AttemptDiscardedEvent>(&mut hooks, gates);
    await_at::<ForceStopEvent>(&mut hooks, gates);
    hooks.on(|event: &mut AfterToolCallEvent| {
        if event.error().is_some() && event.tries() < 2 {
            event.retry_after(secs(10));
        }
    });
    let mut builder = Agent::builder().hooks(hooks).model(Gated {
        gates: Arc::clone(gates),
        answers_before,
    });
    for name in ["look", "flaky"] {
        let gates = Arc::clone(gates);
        let tries = Mutex::new(0_u32);
        let tries = Arc::new(tries);
        builder = builder.tool(FunctionTool::new(name, "", move |_: Value| {
            let (gates, tries) = (Arc::clone(&gates), Arc::clone(&tries));
            async move {
                gates.call();
                gates.pass("tool").await;
                let mut tries = tries.lock().unwrap_or_else(PoisonError::into_inner);
                *tries += 1;
                match (name, *tries) {
                    ("flaky", 1) => Err(ToolError::new("not yet")),
                    _ => Ok("seen"),
                }
            }
        }));
    }
    Ok((builder.build()?, told))
}

fn await_at<E: AsyncHookEvent>(hooks: &mut HookRegistry, gates: &Arc<Gates>) {
    let gates = Arc::clone(gates);
    hooks.on_async(move |_: &mut E| {
        let gates = Arc::clone(&gates);
        Box::pin(async move { gates.pass(E::NAME).await })
    });
}

/// The model of this run.
struct Gated {
    gates: Arc<Gates>,
    answers_before: usize,
}

#[async_trait]
impl Model for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        self.gates.call();
        laws::check_history(request.history().iter());
        self.gates.pass("model").await;
        let said = request.history().iter();
        let said = said.filter(|message| message.role == Role::Assistant);
        let turn = said.count().saturating_sub(self.answers_before);
        let items = match (turn, request.attempt()) {
            (0, 1) => failing(),
            (0, _) => calling(),
            _ => answering(),
        };
        let gates = Arc::clone(&self.gates);
        let next = move |(number, mut items): (usize, std::vec::IntoIter<_>)| {
            let gates = Arc::clone(&gates);
            async move {
                // Most of the last answer comes in one burst.
                if !(2..BURST).contains(&number) {
                    gates.pass("delta").await;
                }
                Some((items.next()?, (number + 1, items)))
            }
        };
        Ok(ModelStream::new(stream::unfold(
            (0, items.into_iter()),
            next,
        )))
    }
}

type Items = Vec<Result<ModelDelta, ModelError>>;

fn failing() -> Items {
    let error = ModelError::new(ModelErrorKind::Throttled, "slow down");
    vec![Ok(ModelDelta::Text("ha".into())), Err(error)]
}

fn calling() -> Items {
    let mut deltas = vec![ModelDelta::Text("Let me see. ".into())];
    for (index, name) in ["look", "flaky"].into_iter().enumerate() {
        deltas.push(ModelDelta::ToolUseStart {
            index,
            id: format!("call_{index}"),
            name: name.into(),
        });
        deltas.push(ModelDelta::ToolUseInput {
            index,
            json: json!({"n": index}).to_string(),
        });
    }
    deltas.push(ModelDelta::Stop(StopReason::ToolUse));
    deltas.into_iter().map(Ok).collect()
}

fn answering() -> Items {
    let pieces = std::iter::repeat_n(ModelDelta::Text("Rain. ".into()), BURST);
    let stop = ModelDelta::Stop(StopReason::EndTurn);
    pieces.chain([stop]).map(Ok).collect()
}
