//! A cell in this process: an agent, a provider and the simulator, over real HTTP. It writes down what
//! happened and judges nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::Deserialize;
use steadfast::{
    AfterModelCallEvent, Agent, AgentBuilder, AgentEvent, Anthropic, ContentBlock, Conversation,
    FailedAttempt, FunctionTool, Gemini, Message, ModelError, ModelRetryStrategy,
    NoopRetryStrategy, Ollama, OpenAiChat, OpenAiResponses, RetryDecision, RetryStrategy, Role,
    RunErrorKind, ToolError,
};
use steadfast_sim::{ChatRequest, Simulator, Wire};

use crate::{
    TestResult,
    axes::{Cell, Strategy},
    contract::{Failed, INITIAL_DELAY, MAX_ATTEMPTS, Seen, failure},
    lines,
    script::{self, PROMPT, TOOL},
    sheet::Sheet,
};

/// How long a model may be silent, before its answer as in it: the default of both timeouts.
const SILENCE: Duration = Duration::from_secs(120);

/// How often it is looked whether a clock that stands still has to go on.
const TICK: Duration = Duration::from_millis(2);

/// After how long it goes on in any case, so that a run that went wrong is shown and does not hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// A run as it went.
#[derive(Default)]
pub(crate) struct Met {
    pub(crate) sheet: Sheet,
    /// What was seen of each attempt.
    said: BTreeMap<(u32, u32), String>,
    /// The calls that the model made, by the order in which their messages came.
    calls: Vec<String>,
    /// Whether an error in an answer has to tell the answer's status.
    tells_status: bool,
    /// How many attempts have begun, and the latest, while it goes on.
    begun: usize,
    attempt: Option<(u32, u32)>,
    /// What was seen of it so far.
    piece: String,
    /// The wait that was told last, until the next attempt.
    wait: Option<Duration>,
}

impl Met {
    pub(crate) fn said(&self, turn: u32, attempt: u32) -> Option<String> {
        Some(self.said.get(&(turn, attempt)).cloned().unwrap_or_default())
    }
}

/// Runs a cell of silence, in a time of its own that stands still until silence is all there is.
///
/// So an answer that is slow to come, on a machine that has other things to do, is not taken for one
/// that does not come, and nobody waits two minutes.
pub(crate) fn meet_in_own_time(cell: &Cell) -> TestResult<Met> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build()?;
    // Time that is paused goes on by itself when nothing happens but on the network, unless there is
    // blocking work.
    let (release, held) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || held.recv());
    let met = runtime.block_on(meet(cell));
    drop(release);
    met
}

/// Runs a cell.
pub(crate) async fn meet(cell: &Cell) -> TestResult<Met> {
    let simulator = Simulator::builder()
        .faults(cell.script())
        .answer(script::answer)
        .start()
        .await?;
    let runs = Arc::new(AtomicUsize::new(0));
    let builder = with_model(Agent::builder(), cell.wire, &simulator)?.tool(tool(&runs));
    let agent = with_strategy(builder, cell.strategy).build()?;
    let promised = failure(&cell.fault, cell.wire).is_none_or(|failed| failed.status.is_some());
    let mut met = Met {
        tells_status: promised,
        ..Met::default()
    };

    let mut conversation = agent.conversation();
    let attempts = met.follow(&mut conversation, cell, &simulator).await;

    let requests = simulator.requests();
    let line = lines::counts(attempts, requests.len(), runs.load(Ordering::Relaxed));
    met.sheet.push(line);
    for message in conversation.history().iter() {
        let line = lines::kept(&met.message(message));
        met.sheet.push(line);
    }
    for request in requests {
        let request = ChatRequest::for_wire(cell.wire, request.body);
        met.sheet.push(lines::request(script::messages(&request)));
    }
    Ok(met)
}

fn with_model(
    builder: AgentBuilder,
    wire: Wire,
    simulator: &Simulator,
) -> TestResult<AgentBuilder> {
    let base_url = simulator.base_url_for(wire);
    Ok(match wire {
        Wire::OpenAiChat => {
            let model = OpenAiChat::builder("any").base_url(base_url);
            builder.model(model.api_key("any").no_proxy().build()?)
        }
        Wire::Anthropic => {
            let model = Anthropic::builder("any").base_url(base_url);
            builder.model(model.api_key("any").no_proxy().build()?)
        }
        #[cfg(feature = "bedrock")]
        Wire::Bedrock => {
            let model = steadfast::Bedrock::builder("any").endpoint_url(base_url);
            let model = model
                .region("us-east-1")
                .credentials("AKIDTEST", "a secret", None);
            builder.model(model.no_proxy().build()?)
        }
        Wire::OpenAiResponses => {
            let model = OpenAiResponses::builder("any").base_url(base_url);
            builder.model(model.api_key("any").no_proxy().build()?)
        }
        Wire::Gemini => {
            let model = Gemini::builder("any").base_url(base_url);
            builder.model(model.api_key("any").no_proxy().build()?)
        }
        Wire::Ollama => {
            let model = Ollama::builder("any").base_url(base_url);
            builder.model(model.no_proxy().build()?)
        }
        other => return Err(format!("no provider speaks {other:?} yet").into()),
    })
}

fn with_strategy(builder: AgentBuilder, strategy: Strategy) -> AgentBuilder {
    let default = || {
        ModelRetryStrategy::new()
            .max_attempts(MAX_ATTEMPTS)
            .initial_delay(INITIAL_DELAY)
    };
    match strategy {
        Strategy::Default => builder.retry_strategy(default()),
        Strategy::None => builder.retry_strategy(NoopRetryStrategy),
        Strategy::Custom => builder.retry_strategy(AtMostTwiceAtOnce),
        Strategy::HookRetries => {
            builder
                .retry_strategy(NoopRetryStrategy)
                .on(|event: &mut AfterModelCallEvent| {
                    event.retry = event.error().is_some() && event.attempt() == 1;
                })
        }
        Strategy::HookGivesUp => {
            builder
                .retry_strategy(default())
                .on(|event: &mut AfterModelCallEvent| {
                    if event.error().is_some() {
                        event.give_up();
                    }
                })
        }
    }
}

/// A strategy as a user writes it: it asks for no reason.
#[derive(Clone)]
struct AtMostTwiceAtOnce;

impl RetryStrategy for AtMostTwiceAtOnce {
    fn decide(&self, attempt: &FailedAttempt<'_>) -> RetryDecision {
        if attempt.attempt() <= 2 {
            RetryDecision::after(Duration::ZERO)
        } else {
            RetryDecision::give_up()
        }
    }
}

/// Waits in the time of the machine.
async fn tick() {
    let slept = tokio::task::spawn_blocking(|| std::thread::sleep(TICK));
    // It fails only if it panics.
    let _ = slept.await;
}

#[derive(Deserialize, JsonSchema)]
struct Round {
    round: u32,
}

/// A tool whose runs are counted.
fn tool(runs: &Arc<AtomicUsize>) -> FunctionTool {
    let runs = Arc::clone(runs);
    FunctionTool::new(TOOL, "Looks it up.", move |input: Round| {
        runs.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, ToolError>(script::found(input.round)) }
    })
}

impl Met {
    /// Prompts, writes down each event, and returns how many attempts the outcome tells.
    async fn follow(
        &mut self,
        conversation: &mut Conversation,
        cell: &Cell,
        simulator: &Simulator,
    ) -> usize {
        let mut events = conversation.prompt(PROMPT).stream();
        let mut latest = Instant::now();
        loop {
            let next = tokio::select! {
                biased;
                next = events.next() => next,
                () = tick(), if cell.is_silent() => {
                    let overdue = || (latest.elapsed() > PATIENCE).then_some(SILENCE);
                    if let Some(step) = self.step(cell, simulator).or_else(overdue) {
                        tokio::time::advance(step).await;
                    }
                    continue;
                }
            };
            match next {
                Some(event) => {
                    latest = Instant::now();
                    self.take(&event);
                }
                None => break,
            }
        }
        let attempts = match events.result().await {
            Ok(result) => result.attempts(),
            Err(error) => error.attempts(),
        };
        attempts as usize
    }

    /// Says how far time has to go on: a wait that was told, or silence, once the fault has struck and
    /// all that came before it has been seen.
    fn step(&self, cell: &Cell, simulator: &Simulator) -> Option<Duration> {
        if self.wait.is_some() {
            return self.wait;
        }
        let (turn, attempt) = self.attempt?;
        let seen = failure(&cell.fault, cell.wire)?.seen.text(turn);
        let silent = cell.strikes.meets(turn, attempt)
            && simulator.requests().len() >= self.begun
            && self.piece == seen;
        silent.then_some(SILENCE)
    }

    fn take(&mut self, event: &AgentEvent) {
        let place = (event.scope().turn, event.scope().attempt);
        if let (AgentEvent::TextDelta(delta), true) = (event, self.attempt == Some(place)) {
            // Where one delta ends and the next begins is the network's business.
            self.piece.push_str(delta.text());
            return;
        }
        if !self.piece.is_empty() {
            let text = std::mem::take(&mut self.piece);
            if let Some((turn, attempt)) = self.attempt {
                self.sheet.extend(lines::says(turn, attempt, &text));
                self.said
                    .entry((turn, attempt))
                    .or_default()
                    .push_str(&text);
            }
        }
        match event {
            AgentEvent::AttemptStarted(_) => {
                self.begun += 1;
                self.attempt = Some(place);
                self.wait = None;
            }
            AgentEvent::AttemptDiscarded(_) | AgentEvent::Message(_) => self.attempt = None,
            AgentEvent::EventLoopThrottle(event) => self.wait = Some(event.delay()),
            _ => {}
        }
        let line = self.line(event);
        self.sheet.push(line);
    }

    fn line(&mut self, event: &AgentEvent) -> String {
        let (turn, attempt) = (event.scope().turn, event.scope().attempt);
        match event {
            AgentEvent::RunStarted(_) => "run_started".to_owned(),
            AgentEvent::AttemptStarted(_) => lines::attempt(turn, attempt),
            AgentEvent::AttemptDiscarded(event) => match event.error() {
                Some(error) => lines::discarded(turn, attempt, &self.failed(error)),
                None => format!("{turn}.{attempt} discarded, {:?}", event.reason()),
            },
            AgentEvent::EventLoopThrottle(event) => lines::waits(
                turn,
                attempt,
                event.delay(),
                event.decided_by(),
                event.max_attempts(),
            ),
            AgentEvent::Message(event) => {
                if event.message().role == Role::Assistant {
                    let calls = event.message().tool_uses();
                    self.calls.extend(calls.map(|call| call.id.clone()));
                }
                lines::message(&self.message(event.message()))
            }
            AgentEvent::ToolStarted(event) => lines::tool_started(&self.call(&event.tool_use().id)),
            AgentEvent::ToolFinished(event) => {
                lines::tool_finished(&self.call(event.id()), event.ok())
            }
            AgentEvent::ForceStop(event) => {
                match (event.failure().kind(), event.failure().model_error()) {
                    (RunErrorKind::Model(_), Some(error)) => {
                        lines::force_stop(turn, attempt, &self.failed(error))
                    }
                    (kind, _) => format!("{turn}.{attempt} force_stop, {}", kind.name()),
                }
            }
            AgentEvent::Result(event) => {
                let result = event.result();
                let attempts = result.attempts() as usize;
                lines::result(result.stop_reason(), attempts, result.turns())
            }
            other => format!("{other:?}"),
        }
    }

    fn failed(&self, error: &ModelError) -> Failed {
        let status = error.status();
        Failed {
            kind: error.kind(),
            status: status.filter(|status| self.tells_status || *status != 200),
            hint: error.retry_after(),
            seen: Seen::Nothing,
        }
    }

    /// Returns the number of a call, and its whole identity if nobody made it.
    fn call(&self, id: &str) -> String {
        let number = self.calls.iter().position(|call| call == id);
        number.map_or_else(|| id.to_owned(), |number| (number + 1).to_string())
    }

    fn message(&self, message: &Message) -> String {
        let mut line = match message.role {
            Role::Assistant => "assistant:".to_owned(),
            _ => "user:".to_owned(),
        };
        for block in &message.content {
            line += &match block {
                ContentBlock::Text { text } => format!(" {text}"),
                ContentBlock::ToolUse(call) => {
                    format!(
                        " [call {}: {} {}]",
                        self.call(&call.id),
                        call.name,
                        call.input
                    )
                }
                ContentBlock::ToolResult(result) => {
                    let mark = if result.is_error { '!' } else { '=' };
                    format!(" [call {} {mark} {}]", self.call(&result.id), result.text())
                }
                // A signature, which nobody but the vendor reads.
                ContentBlock::Opaque { .. } => String::new(),
                other => format!(" {other:?}"),
            };
        }
        line
    }
}
