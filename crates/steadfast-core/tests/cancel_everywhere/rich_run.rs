//! A run that awaits everywhere a run can: an async hook at each event, an attempt that fails after
//! text, a wait, a pacer that lets calls in, two tools of which one is retried after a wait, and a
//! second turn.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

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

/// What an observer was told, and when; and what is open: hooks that have begun something, calls that
/// a pacer has let in.
#[derive(Debug)]
pub(crate) struct Told {
    began: Instant,
    seen: Mutex<Vec<Seen>>,
    pub(crate) attempts: Bracket,
    pub(crate) tool_calls: Bracket,
    permits: AtomicUsize,
}

/// What the `Before` hooks of an event opened and its `After` hooks closed.
#[derive(Debug, Default)]
pub(crate) struct Bracket {
    opened: AtomicUsize,
    closed: AtomicUsize,
}

impl Bracket {
    fn open(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    fn close(&self) {
        let [opened, closed] = self.counts();
        assert!(closed < opened, "only what was opened is closed");
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> [usize; 2] {
        [&self.opened, &self.closed].map(|count| count.load(Ordering::Relaxed))
    }
}

/// What a pacer lets a call in with.
struct Permit(Arc<Told>);

impl Permit {
    fn new(told: &Arc<Told>) -> Self {
        told.permits.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(told))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.permits.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    /// How many permits of the pacer are held.
    pub(crate) fn permits(&self) -> usize {
        self.permits.load(Ordering::Relaxed)
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
        attempts: Bracket::default(),
        tool_calls: Bracket::default(),
        permits: AtomicUsize::default(),
    });
    let mut hooks = HookRegistry::new();
    let telling = Arc::clone(&told);
    hooks.observe(move |event: &AgentEvent| {
        telling
            .lock()
            .push((telling.began.elapsed(), event.clone()));
    });
    bracket(&mut hooks, &told);
    pace(&mut hooks, gates, &told);
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
        told: Arc::clone(&told),
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

/// Notes what is begun before any other hook is asked, and what ends.
fn bracket(hooks: &mut HookRegistry, told: &Arc<Told>) {
    let notes = || Arc::clone(told);
    let (began, ended) = (notes(), notes());
    let first = i32::MIN;
    hooks
        .order(first)
        .on(move |_: &mut BeforeModelCallEvent| began.attempts.open());
    hooks
        .order(first)
        .on(move |_: &mut AfterModelCallEvent| ended.attempts.close());
    let (began, ended) = (notes(), notes());
    hooks
        .order(first)
        .on(move |_: &mut BeforeToolCallEvent| began.tool_calls.open());
    hooks
        .order(first)
        .on(move |_: &mut AfterToolCallEvent| ended.tool_calls.close());
}

/// Lets the calls in one by one that are paced.
fn pace(hooks: &mut HookRegistry, gates: &Arc<Gates>, told: &Arc<Told>) {
    let (gates, told) = (Arc::clone(gates), Arc::clone(told));
    hooks.on(move |event: &mut BeforeModelCallEvent| {
        if is_paced(event.attempt()) {
            let (gates, permit) = (Arc::clone(&gates), Permit::new(&told));
            event.wait_for(secs(1), async move {
                gates.pass("pacer").await;
                permit
            });
        }
    });
}

/// The second attempt of a turn, which comes after a wait.
const fn is_paced(attempt: u32) -> bool {
    attempt == 2
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
    told: Arc<Told>,
    answers_before: usize,
}

#[async_trait]
impl Model for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        self.gates.call();
        let held = usize::from(is_paced(request.attempt()));
        assert_eq!(self.told.permits(), held, "the call holds what let it in");
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
