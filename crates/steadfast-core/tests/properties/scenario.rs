//! Scenarios: what a model says, what hooks answer and what a run may use, as data that shrinks to
//! nothing. Every part answers by its place in the run, so that a replay meets the same answers.

use std::time::Duration;

use proptest::{
    collection::vec,
    option,
    prelude::{BoxedStrategy, Just, Strategy, any},
    prop_oneof,
    sample::select,
};
use steadfast_core::{Jitter, ModelErrorKind, StopReason, millis, secs};

/// Everything that decides how a run goes.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// The model's calls by turn and attempt. Where they end, it says a last word.
    pub(crate) turns: Vec<Vec<Call>>,
    pub(crate) hooks: Vec<HookPlan>,
    pub(crate) retries: Retries,
    pub(crate) limits: LimitsPlan,
    pub(crate) policy: Policy,
    /// How many observers watch it.
    pub(crate) observers: usize,
    /// Whether hooks note what begins and ends: without them an event may have no hook at all.
    pub(crate) brackets: bool,
}

/// One call of the model.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// How long it takes until the answer begins, or is refused.
    pub(crate) connects: Duration,
    pub(crate) refused: Option<Fault>,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) end: End,
}

#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Text(&'static str),
    Refusal(&'static str),
    Reasoning(&'static str),
    /// Something that belongs to what was thought.
    Sealed,
    /// A block that only its provider understands.
    Opaque,
    Call(&'static str),
    Input(usize, &'static str),
    Usage(u64, u64),
    Pause(Duration),
    Started,
}

#[derive(Debug, Clone)]
pub(crate) enum End {
    Stop(StopReason),
    StopAndHang(StopReason),
    Cut,
    Hang,
    Fail(Fault),
}

#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) kind: ModelErrorKind,
    pub(crate) hint: Option<Duration>,
    pub(crate) should_retry: Option<bool>,
}

/// Where hooks are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    BeforeInvocation,
    AfterInvocation,
    MessageAdded,
    BeforeModelCall,
    AfterModelCall,
    BeforeTools,
    AfterTools,
    BeforeToolCall,
    AfterToolCall,
    Throttle,
    Discarded,
    ForceStop,
}

pub(crate) const EVERYWHERE: [At; 12] = [
    At::BeforeInvocation,
    At::AfterInvocation,
    At::MessageAdded,
    At::BeforeModelCall,
    At::AfterModelCall,
    At::BeforeTools,
    At::AfterTools,
    At::BeforeToolCall,
    At::AfterToolCall,
    At::Throttle,
    At::Discarded,
    At::ForceStop,
];

/// One hook: what it answers the first, the second, the third time.
#[derive(Debug, Clone)]
pub(crate) struct HookPlan {
    pub(crate) at: At,
    pub(crate) order: i32,
    /// None for a hook that answers at once, else how long it awaits.
    pub(crate) awaits: Option<Duration>,
    pub(crate) says: Vec<Say>,
    /// Whether it begins again where its answers end.
    pub(crate) repeats: bool,
}

impl HookPlan {
    pub(crate) fn answer(&self, asked: usize) -> Option<&Say> {
        match self.says.len() {
            0 => None,
            count if self.repeats => self.says.get(asked % count),
            _ => self.says.get(asked),
        }
    }
}

/// What a hook may answer. Where an event does not know an answer, it is none.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    Nothing,
    Retry,
    RetryAfter(Duration),
    ClearRetry,
    GiveUp,
    /// Answers in the model's or the tools' place, or ends the turn.
    Instead(&'static str),
    Rename(&'static str),
    Resume,
    Fail,
    /// Has the call wait, once or more.
    WaitFor(Vec<PacedWait>),
    /// Has the model called a second time, if it says nothing for so long.
    Hedge(Duration),
    /// Has the attempt fail without a call.
    Refuse(Fault),
    /// The same, once all waits are over; or has the call made, and no hedge of it.
    RefuseLate(Fault, bool),
}

/// A wait that a pacer declares: what it expects, and what comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PacedWait {
    pub(crate) expected: Duration,
    /// None if the call is never let in.
    pub(crate) real: Option<Duration>,
}

#[derive(Debug, Clone)]
pub(crate) enum Retries {
    Never,
    Backoff {
        max_attempts: u32,
        initial: Duration,
        jitter: Jitter,
        throttles_only: bool,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct LimitsPlan {
    pub(crate) max_turns: u32,
    pub(crate) max_attempts: u32,
    pub(crate) max_tool_tries: u32,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) idle: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Policy {
    RollBackTurn,
    KeepTurn,
    RollBackAll,
}

/// How a run may be stopped from outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) deadline: Option<Duration>,
    pub(crate) cancel: Option<Duration>,
}

pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    endless().prop_map(Scenario::that_ends)
}

/// Scenarios in which a pacer may never let a call in.
fn endless() -> impl Strategy<Value = Scenario> {
    parts(vec(hook(any::<bool>().boxed()), 0..5).boxed())
}

/// Scenarios whose hooks ask for ever for what they ask for once.
pub(crate) fn stubborn() -> impl Strategy<Value = Scenario> {
    parts(vec(hook(Just(true).boxed()), 1..7).boxed()).prop_map(Scenario::that_ends)
}

/// Scenarios with what may stop them; what would never end is stopped.
pub(crate) fn stopped_scenario() -> impl Strategy<Value = (Scenario, Stop)> {
    (endless(), stop()).prop_map(|(scenario, stop)| match (stop.deadline, stop.cancel) {
        (None, None) => (scenario.that_ends(), stop),
        _ => (scenario, stop),
    })
}

impl Scenario {
    /// The same, in which every call is let in at last.
    fn that_ends(mut self) -> Self {
        for say in self.hooks.iter_mut().flat_map(|hook| &mut hook.says) {
            let waits: &mut [PacedWait] = match say {
                Say::WaitFor(waits) => waits,
                _ => &mut [],
            };
            for wait in waits {
                wait.real.get_or_insert(secs(7));
            }
        }
        self
    }
}

fn parts(hooks: BoxedStrategy<Vec<HookPlan>>) -> impl Strategy<Value = Scenario> {
    let turns = vec(vec(call(), 0..4), 0..5);
    let watchers = (1..4_usize, any::<bool>());
    (turns, hooks, retries(), limits(), policy(), watchers).prop_map(
        |(turns, hooks, retries, limits, policy, (observers, brackets))| Scenario {
            turns,
            hooks,
            retries,
            limits,
            policy,
            observers,
            brackets,
        },
    )
}

pub(crate) fn stop() -> impl Strategy<Value = Stop> {
    let within_a_minute = || option::of((0..60_000_u64).prop_map(millis));
    (within_a_minute(), within_a_minute()).prop_map(|(deadline, cancel)| Stop { deadline, cancel })
}

fn policy() -> impl Strategy<Value = Policy> {
    select(&[Policy::RollBackTurn, Policy::KeepTurn, Policy::RollBackAll][..])
}

fn limits() -> impl Strategy<Value = LimitsPlan> {
    let tokens = option::weighted(0.3, 1..100_u64);
    (1..7_u32, 1..6_u32, 1..4_u32, tokens, 1..130_u64).prop_map(
        |(max_turns, max_attempts, max_tool_tries, max_tokens, idle)| LimitsPlan {
            max_turns,
            max_attempts,
            max_tool_tries,
            max_tokens,
            idle: secs(idle),
        },
    )
}

fn retries() -> impl Strategy<Value = Retries> {
    let jitter = select(
        &[
            Jitter::None,
            Jitter::Full,
            Jitter::Equal,
            Jitter::Decorrelated,
        ][..],
    );
    let backoff = (1..8_u32, 0..5_000_u64, jitter, any::<bool>()).prop_map(
        |(max_attempts, initial, jitter, throttles_only)| Retries::Backoff {
            max_attempts,
            initial: millis(initial),
            jitter,
            throttles_only,
        },
    );
    prop_oneof![1 => Just(Retries::Never), 4 => backoff]
}

/// Mostly no time at all: what is ready at once takes other ways than what is not.
fn pause() -> BoxedStrategy<Duration> {
    prop_oneof![3 => Just(Duration::ZERO), 2 => (1..3_000_u64).prop_map(millis), 1 => (1..300_u64).prop_map(secs)]
        .boxed()
}

fn call() -> impl Strategy<Value = Call> {
    let refused = option::weighted(0.3, fault());
    (pause(), refused, vec(piece(), 0..9), end()).prop_map(|(connects, refused, pieces, end)| {
        Call {
            connects,
            refused,
            pieces,
            end,
        }
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    let hint = option::of(prop_oneof![
        3 => (0..30_000_u64).prop_map(millis),
        1 => (0..1_000_u64).prop_map(secs),
        1 => Just(Duration::MAX),
    ]);
    let should_retry = option::weighted(0.2, any::<bool>());
    (select(&KINDS[..]), hint, should_retry).prop_map(|(kind, hint, should_retry)| Fault {
        kind,
        hint,
        should_retry,
    })
}

pub(crate) const KINDS: [ModelErrorKind; 15] = [
    ModelErrorKind::Throttled,
    ModelErrorKind::Overloaded,
    ModelErrorKind::Server,
    ModelErrorKind::Network,
    ModelErrorKind::Timeout,
    ModelErrorKind::Truncated,
    ModelErrorKind::ContextOverflow,
    ModelErrorKind::TooLarge,
    ModelErrorKind::QuotaExhausted,
    ModelErrorKind::Auth,
    ModelErrorKind::InvalidRequest,
    ModelErrorKind::NotFound,
    ModelErrorKind::Unsupported,
    ModelErrorKind::ContentFiltered,
    ModelErrorKind::Protocol,
];

fn words() -> impl Strategy<Value = &'static str> {
    select(&["a", "Rain. ", "", "\n", "é—", "{\"x\":"][..])
}

/// The tools, and one that nobody has.
const TOOLS: [&str; 6] = ["look", "break", "panic", "slow", "yield", "nobody"];

fn piece() -> impl Strategy<Value = Piece> {
    let json = select(&["{}", "{\"n\":", "1}", "\"", "", "[1,2]", " "][..]);
    prop_oneof![
        5 => words().prop_map(Piece::Text),
        1 => words().prop_map(Piece::Refusal),
        1 => words().prop_map(Piece::Reasoning),
        1 => Just(Piece::Sealed),
        2 => Just(Piece::Opaque),
        4 => select(&TOOLS[..]).prop_map(Piece::Call),
        // Mostly for a call that was started.
        3 => (0..3_usize, json).prop_map(|(call, json)| Piece::Input(call, json)),
        1 => (0..60_u64, 0..60_u64).prop_map(|(input, output)| Piece::Usage(input, output)),
        1 => pause().prop_map(Piece::Pause),
        1 => Just(Piece::Started),
    ]
}

fn stop_reason() -> impl Strategy<Value = StopReason> {
    prop_oneof![
        4 => Just(StopReason::EndTurn),
        6 => Just(StopReason::ToolUse),
        2 => Just(StopReason::PauseTurn),
        2 => select(&[
            StopReason::MaxTokens,
            StopReason::StopSequence,
            StopReason::Refusal,
            StopReason::ContentFiltered,
            StopReason::GuardrailIntervened,
        ][..]),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        8 => stop_reason().prop_map(End::Stop),
        1 => stop_reason().prop_map(End::StopAndHang),
        1 => Just(End::Cut),
        1 => Just(End::Hang),
        1 => fault().prop_map(End::Fail),
    ]
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        4 => Just(Say::Nothing),
        3 => Just(Say::Retry),
        3 => pause().prop_map(Say::RetryAfter),
        1 => Just(Say::ClearRetry),
        1 => Just(Say::GiveUp),
        2 => words().prop_map(Say::Instead),
        1 => select(&TOOLS[..]).prop_map(Say::Rename),
        2 => Just(Say::Resume),
        1 => Just(Say::Fail),
        4 => vec(paced_wait(), 1..3).prop_map(Say::WaitFor),
        3 => pause().prop_map(Say::Hedge),
        1 => fault().prop_map(Say::Refuse),
        1 => (fault(), any::<bool>()).prop_map(|(fault, hedge)| Say::RefuseLate(fault, hedge)),
    ]
}

/// A pacer may be right, too early or too late; or nobody lets the call in.
fn paced_wait() -> impl Strategy<Value = PacedWait> {
    let right = pause().prop_map(|wait| (wait, Some(wait)));
    let wrong = (pause(), option::weighted(0.8, pause()));
    prop_oneof![right.boxed(), wrong.boxed()]
        .prop_map(|(expected, real)| PacedWait { expected, real })
}

fn hook(repeats: BoxedStrategy<bool>) -> impl Strategy<Value = HookPlan> {
    let awaits = option::of(pause());
    (
        select(&EVERYWHERE[..]),
        -1..2_i32,
        awaits,
        vec(say(), 0..6),
        repeats,
    )
        .prop_map(|(at, order, awaits, says, repeats)| HookPlan {
            at,
            order,
            awaits,
            says,
            repeats,
        })
}
