//! A scenario made real: an agent that follows it, and a log of all that it did.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::stream;
use serde_json::{Value, json};
use steadfast_core::{
    AfterInvocationEvent, AfterModelCallEvent, AfterToolCallEvent, AfterToolsEvent, Agent,
    AgentBuilder, AgentEvent, AgentResult, AsyncHookEvent, AttemptDiscardedEvent,
    BeforeInvocationEvent, BeforeModelCallEvent, BeforeToolCallEvent, BeforeToolsEvent, CallRole,
    ConfigError, EventLoopThrottleEvent, ForceStopEvent, FunctionTool, HookError, HookRegistry,
    Message, MessageAddedEvent, Model, ModelDelta, ModelError, ModelRequest, ModelRetryStrategy,
    ModelStream, NoopRetryStrategy, Prompt, Role, RunError, StopReason, ToolError, Usage,
    async_trait, secs,
};

use tokio::time::Instant;

use crate::{
    bracket::{self, Bracket},
    laws::{self, Seen},
    paced::{self, Paced},
    scenario::{At, Call, End, Fault, HookPlan, Piece, Policy, Retries, Say, Scenario},
};

/// More than any run of a scenario may ask: its limits are small.
const SPINNING: usize = 20_000;

/// All that an agent did.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) calls: AtomicUsize,
    pub(crate) tools: AtomicUsize,
    pub(crate) asked: AtomicUsize,
    pub(crate) attempts: Bracket,
    pub(crate) tool_calls: Bracket,
    pub(crate) paced: Paced,
    told: Vec<Told>,
}

/// What one observer was told.
type Told = Arc<Mutex<Vec<AgentEvent>>>;

fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    fn new(observers: usize) -> Self {
        Self {
            told: (0..observers).map(|_| Told::default()).collect(),
            ..Self::default()
        }
    }

    /// What observers were told: all of them the same.
    pub(crate) fn told(&self) -> Vec<AgentEvent> {
        let mut told = self.told.iter().map(|told| lock(told).clone());
        let first = told.next().unwrap_or_default();
        for other in told {
            assert_eq!(other, first, "every observer is told everything");
        }
        first
    }

    pub(crate) fn told_count(&self) -> usize {
        self.told.first().map_or(0, |told| lock(told).len())
    }

    /// Checks that nothing is open once a run has ended: what was begun was ended, and no call holds
    /// what let it in.
    pub(crate) fn check_closed(&self) {
        for bracket in [&self.attempts, &self.tool_calls] {
            assert_eq!(
                bracket.opened(),
                bracket.closed(),
                "what a hook opened is closed"
            );
        }
        self.paced.check_given_back();
    }

    /// Model calls, tool calls, hooks that were asked, events that were told.
    pub(crate) fn done(&self) -> [usize; 4] {
        [
            self.calls.load(Ordering::Relaxed),
            self.tools.load(Ordering::Relaxed),
            self.asked.load(Ordering::Relaxed),
            self.told_count(),
        ]
    }
}

/// An agent of a scenario.
pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) log: Arc<Log>,
}

impl World {
    pub(crate) fn new(scenario: &Scenario) -> Result<Self, ConfigError> {
        let log = Arc::new(Log::new(scenario.observers));
        let model = Following {
            turns: scenario.turns.clone(),
            log: Arc::clone(&log),
        };
        let mut hooks = HookRegistry::new();
        for told in &log.told {
            let told = Arc::clone(told);
            hooks.observe(move |event: &AgentEvent| lock(&told).push(event.clone()));
        }
        paced::observe(&mut hooks, &log);
        if scenario.brackets {
            bracket::register(&mut hooks, &log);
        }
        for plan in &scenario.hooks {
            register(&mut hooks, plan, &log);
        }
        let limits = &scenario.limits;
        let mut builder = Agent::builder()
            .model(model)
            .hooks(hooks)
            .max_turns(limits.max_turns)
            .max_attempts_per_turn(limits.max_attempts)
            .max_tool_tries(limits.max_tool_tries)
            .first_byte_timeout(secs(100))
            .idle_timeout(limits.idle);
        if let Some(tokens) = limits.max_tokens {
            builder = builder.max_total_tokens(tokens);
        }
        builder = match &scenario.retries {
            Retries::Never => builder.retry_strategy(NoopRetryStrategy),
            Retries::Backoff {
                max_attempts,
                initial,
                jitter,
                throttles_only,
            } => {
                let strategy = ModelRetryStrategy::new()
                    .max_attempts(*max_attempts)
                    .initial_delay(*initial)
                    .jitter(*jitter);
                builder.retry_strategy(match throttles_only {
                    true => strategy.throttles_only(),
                    false => strategy,
                })
            }
        };
        builder = match scenario.policy {
            Policy::RollBackTurn => builder,
            Policy::KeepTurn => builder.keep_failed_turn(),
            Policy::RollBackAll => builder.roll_back_all(),
        };
        let agent = with_tools(builder, &log).build()?;
        Ok(Self { agent, log })
    }
}

fn with_tools(mut builder: AgentBuilder, log: &Arc<Log>) -> AgentBuilder {
    for name in ["look", "break", "panic", "slow", "yield"] {
        let log = Arc::clone(log);
        builder = builder.tool(FunctionTool::new(name, "", move |_: Value| {
            let log = Arc::clone(&log);
            async move {
                log.tools.fetch_add(1, Ordering::Relaxed);
                match name {
                    "break" => return Err(ToolError::new("broken")),
                    // Unwinds as a panic does, and prints nothing.
                    "panic" => std::panic::resume_unwind(Box::new("a tool's own panic")),
                    "slow" => tokio::time::sleep(secs(30)).await,
                    "yield" => tokio::task::yield_now().await,
                    _ => {}
                }
                Ok("seen")
            }
        }));
    }
    builder
}

/// A model that answers by the place of the call: how much was said before, and which attempt it is.
struct Following {
    turns: Vec<Vec<Call>>,
    log: Arc<Log>,
}

#[async_trait]
impl Model for Following {
    fn name(&self) -> &'static str {
        "following"
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let calls = self.log.calls.fetch_add(1, Ordering::Relaxed);
        assert!(calls < SPINNING, "the loop spins");
        self.log.paced.check_held();
        laws::check_history(request.history().iter());
        let asks = |last: &Arc<Message>| {
            last.role == Role::User || last.stop_reason == Some(StopReason::PauseTurn)
        };
        assert!(request.history().last().is_some_and(asks), "somebody asks");
        let said = request.history().iter();
        let turn = said
            .filter(|message| message.role == Role::Assistant)
            .count();
        let attempt = usize::try_from(request.attempt()).unwrap_or(usize::MAX);
        let call = self
            .turns
            .get(turn)
            .and_then(|calls| calls.get(attempt - 1));
        let Some(call) = call else {
            let last_word = ModelDelta::Text("The end.".into());
            let stop = ModelDelta::Stop(StopReason::EndTurn);
            return Ok(ModelStream::from_deltas([last_word, stop]));
        };
        if !call.connects.is_zero() {
            tokio::time::sleep(call.connects).await;
        }
        match &call.refused {
            Some(fault) => Err(error(fault)),
            None => Ok(answer(call)),
        }
    }
}

fn error(fault: &Fault) -> ModelError {
    ModelError::new(fault.kind, "as the scenario wants")
        .with_retry_after(fault.hint)
        .with_should_retry(fault.should_retry)
}

/// What arrives, in order; the last item may be that nothing more does.
enum Item {
    Delta(ModelDelta),
    Pause(Duration),
    Error(ModelError),
    Hang,
}

fn answer(call: &Call) -> ModelStream {
    let mut started = 0;
    let mut items: Vec<Item> = Vec::new();
    for piece in &call.pieces {
        items.push(Item::Delta(match piece {
            Piece::Text(text) => ModelDelta::Text((*text).into()),
            Piece::Refusal(text) => ModelDelta::Refusal((*text).into()),
            Piece::Reasoning(text) => ModelDelta::Reasoning((*text).into()),
            Piece::Sealed => ModelDelta::ReasoningOpaque(json!({"sealed": 1.5})),
            Piece::Opaque => ModelDelta::Opaque(json!({"following": {"block": 1.5}})),
            Piece::Call(name) => {
                started += 1;
                ModelDelta::ToolUseStart {
                    index: started - 1,
                    id: format!("call_{started}"),
                    name: (*name).into(),
                }
            }
            Piece::Input(index, json) => ModelDelta::ToolUseInput {
                index: *index,
                json: (*json).into(),
            },
            Piece::Usage(input, output) => ModelDelta::Usage(Usage::new(*input, *output)),
            Piece::Started => ModelDelta::Started { request_id: None },
            Piece::Pause(pause) => {
                items.push(Item::Pause(*pause));
                continue;
            }
        }));
    }
    match &call.end {
        End::Stop(stop) => items.push(Item::Delta(ModelDelta::Stop(*stop))),
        End::StopAndHang(stop) => {
            items.push(Item::Delta(ModelDelta::Stop(*stop)));
            items.push(Item::Hang);
        }
        End::Cut => {}
        End::Hang => items.push(Item::Hang),
        End::Fail(fault) => items.push(Item::Error(error(fault))),
    }
    let next = |mut items: std::vec::IntoIter<Item>| async move {
        loop {
            match items.next()? {
                Item::Delta(delta) => return Some((Ok(delta), items)),
                Item::Error(error) => return Some((Err(error), items)),
                Item::Pause(pause) => tokio::time::sleep(pause).await,
                Item::Hang => std::future::pending::<()>().await,
            }
        }
    };
    ModelStream::new(stream::unfold(items.into_iter(), next))
}

fn register(hooks: &mut HookRegistry, plan: &HookPlan, log: &Arc<Log>) {
    match plan.at {
        At::BeforeInvocation => ask::<BeforeInvocationEvent>(hooks, plan, log),
        At::AfterInvocation => ask::<AfterInvocationEvent>(hooks, plan, log),
        At::MessageAdded => ask::<MessageAddedEvent>(hooks, plan, log),
        At::BeforeModelCall => ask::<BeforeModelCallEvent>(hooks, plan, log),
        At::AfterModelCall => ask::<AfterModelCallEvent>(hooks, plan, log),
        At::BeforeTools => ask::<BeforeToolsEvent>(hooks, plan, log),
        At::AfterTools => ask::<AfterToolsEvent>(hooks, plan, log),
        At::BeforeToolCall => ask::<BeforeToolCallEvent>(hooks, plan, log),
        At::AfterToolCall => ask::<AfterToolCallEvent>(hooks, plan, log),
        At::Throttle => ask::<EventLoopThrottleEvent>(hooks, plan, log),
        At::Discarded => ask::<AttemptDiscardedEvent>(hooks, plan, log),
        At::ForceStop => ask::<ForceStopEvent>(hooks, plan, log),
    }
}

fn ask<E: Hears>(hooks: &mut HookRegistry, plan: &HookPlan, log: &Arc<Log>) {
    let (plan, log) = (Arc::new(plan.clone()), Arc::clone(log));
    let hear = |plan: &HookPlan, log: &Arc<Log>, event: &mut E| {
        let asked = log.asked.fetch_add(1, Ordering::Relaxed);
        assert!(asked < SPINNING, "the loop spins");
        match plan.answer(event.nth()) {
            Some(Say::Fail) => Err(HookError::new("as the scenario wants")),
            Some(say) => {
                event.hear(say, log);
                Ok(())
            }
            None => Ok(()),
        }
    };
    let place = hooks.order(plan.order);
    match plan.awaits {
        None => place.on(move |event: &mut E| hear(&plan, &log, event)),
        Some(awaits) => place.on_async(move |event: &mut E| {
            let (plan, log) = (Arc::clone(&plan), Arc::clone(&log));
            let answering = async move {
                match awaits.is_zero() {
                    true => tokio::task::yield_now().await,
                    false => tokio::time::sleep(awaits).await,
                }
                hear(&plan, &log, event)
            };
            Box::pin(answering) as Pin<Box<dyn Future<Output = _> + Send>>
        }),
    };
}

/// An event that takes a scenario's answers.
trait Hears: AsyncHookEvent {
    /// Its place in the run as a number: the same in a replay.
    fn nth(&self) -> usize;

    fn hear(&mut self, say: &Say, log: &Arc<Log>);
}

fn nth(turn: u32, within: u32) -> usize {
    usize::try_from(turn.saturating_sub(1) * 2 + within.saturating_sub(1)).unwrap_or_default()
}

macro_rules! hears {
    ($($event:ty: $within:expr, $hear:expr;)+) => {$(
        impl Hears for $event {
            fn nth(&self) -> usize {
                let within: fn(&Self) -> u32 = $within;
                nth(self.turn(), within(self))
            }

            fn hear(&mut self, say: &Say, log: &Arc<Log>) {
                let hear: fn(&mut Self, &Say, &Arc<Log>) = $hear;
                hear(self, say, log);
            }
        }
    )+};
}

hears! {
    BeforeInvocationEvent: |_| 1, |event, say, _| {
        if let Say::Instead(text) = say {
            event.cancel = Some((*text).into());
        }
    };
    AfterInvocationEvent: |_| 1, |event, say, _| {
        if matches!(say, Say::Resume) {
            event.resume = Some("Go on.".into());
        }
    };
    MessageAddedEvent: |event| 1 + u32::from(event.message().role == Role::Assistant), |_, _, _| {};
    BeforeModelCallEvent: |event| event.attempt(), |event, say, log| match say {
        Say::Instead(text) => event.cancel = Some((*text).into()),
        Say::WaitFor(waits) => {
            for wait in waits {
                paced::declare(event, *wait, log);
            }
        }
        Say::Hedge(delay) => event.hedge_after(*delay),
        Say::Refuse(fault) => event.fail_with(error(fault)),
        Say::RefuseLate(fault, hedge_only) => {
            let (refusal, hedge_only) = (error(fault), *hedge_only);
            event.admit_if(move |role| match role {
                CallRole::First if hedge_only => Ok(()),
                _ => Err(refusal.clone()),
            });
        }
        _ => {}
    };
    AfterModelCallEvent: |event| event.attempt(), |event, say, _| match say {
        Say::Retry => event.retry = true,
        Say::RetryAfter(delay) => event.retry_after(*delay),
        Say::ClearRetry => event.retry = false,
        Say::GiveUp => event.give_up(),
        _ => {}
    };
    BeforeToolsEvent: |_| 1, |event, say, _| {
        if let Say::Instead(text) = say {
            event.cancel = Some((*text).into());
        }
    };
    AfterToolsEvent: |_| 1, |event, say, _| {
        if let Say::Instead(text) = say {
            event.end_turn = Some((*text).into());
        }
    };
    BeforeToolCallEvent: |_| 1, |event, say, _| match say {
        Say::Instead(text) => event.cancel = Some((*text).into()),
        Say::Rename(name) => {
            event.tool_use.name = (*name).into();
            event.tool_use.id = "another".into();
        }
        _ => {}
    };
    AfterToolCallEvent: |event| event.tries(), |event, say, _| match say {
        Say::Retry => event.retry = true,
        Say::RetryAfter(delay) => event.retry_after(*delay),
        Say::ClearRetry => event.retry = false,
        Say::Rename(name) => {
            event.result.name = (*name).into();
            event.result.id = "another".into();
        }
        _ => {}
    };
    EventLoopThrottleEvent: |event| event.attempt(), |_, _, _| {};
    AttemptDiscardedEvent: |event| event.attempt(), |_, _, _| {};
    ForceStopEvent: |_| 1, |_, _, _| {};
}

/// Streams a run to its end.
pub(crate) async fn stream(prompt: Prompt<'_>) -> (Vec<Seen>, Result<AgentResult, RunError>) {
    let began = Instant::now();
    let mut stream = prompt.stream();
    let mut seen = Vec::new();
    while let Some(event) = stream.next().await {
        seen.push((began.elapsed(), event));
    }
    (seen, stream.result().await)
}
