//! The agent loop of Steadfast: runs, events, hooks, retry strategies and tools, without IO.
//!
//! Programs depend on the crate `steadfast`, which re-exports all of this and the providers. Depend
//! on this crate to write a provider, a strategy or a tool for others to use: it opens no socket
//! and no file.
//!
//! A prompt travels in this order, one file a step: [`Prompt`] → the agent loop → [`Run::step`] →
//! [`BeforeModelCallEvent`] → [`Model::stream`] → deltas → [`AfterModelCallEvent`] → hooks, then the
//! retry strategy → retry, or commit of the message → tools → the result.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod agent;
mod agent_loop;
mod agent_result;
mod attempt;
mod conversation;
mod event;
mod event_queue;
mod history;
mod hook;
mod hook_event;
mod input;
mod interrupt;
mod limits;
mod message;
mod millis;
mod model;
mod parts;
mod prompt;
mod redact;
mod retry;
mod run;
mod run_context;
mod run_error;
mod run_id;
mod runtime;
pub mod testing;
mod tool;
mod tool_call;
mod usage;

pub use agent::{Agent, AgentBuilder};
pub use agent_result::{AgentResult, RunSummary};
pub use async_trait::async_trait;
pub use conversation::Conversation;
pub use event::{
    AgentEvent, AttemptDiscardedEvent, AttemptStartedEvent, CallRole, DecidedBy, DiscardReason,
    EVENT_SCHEMA, EventLoopThrottleEvent, EventScope, ForceStopEvent, HedgeStartedEvent,
    HedgeWonEvent, MessageAddedEvent, ModelSwitchedEvent, ReasoningDeltaEvent, ResultEvent,
    RunDroppedEvent, RunStartedEvent, TextDeltaEvent, ToolFinishedEvent, ToolStartedEvent,
};
pub use history::History;
pub use hook::{
    AsyncHookEvent, Hook, HookError, HookEvent, HookHandle, HookProvider, HookRegistry,
    IntoHookResult, Observable, OrderedHooks,
};
pub use hook_event::{
    AfterInvocationEvent, AfterModelCallEvent, AfterToolCallEvent, AfterToolsEvent,
    AgentInitializedEvent, BeforeInvocationEvent, BeforeModelCallEvent, BeforeToolCallEvent,
    BeforeToolsEvent, ModelCallAcceptedEvent,
};
pub use input::Input;
pub use message::{ContentBlock, MediaSource, Message, Reasoning, Role, ToolResult, ToolUse};
pub use model::{
    Fallback, Model, ModelDelta, ModelError, ModelErrorKind, ModelRequest, ModelResponse,
    ModelSettings, ModelStream, RateLimit, RateLimits, ToolChoice,
};
pub use parts::{Hedge, ModelCircuitBreaker, ModelLimiter};
pub use prompt::{Prompt, RunFuture, RunHandle, RunStream};
pub use retry::{
    AwsRetryConfig, AwsRetryMode, AwsRetryRules, AwsRetrySettings, AwsRetryStrategy, FailedAttempt,
    FleetRetryStrategy, ModelRetryStrategy, NoopRetryStrategy, RetryDecision, RetryStrategy, SetBy,
};
pub use run::{
    AttemptOutcome, AttemptVerdict, Begun, RecordedWait, Run, Step, StepMismatch, StepName,
    StepOutcome, ToolOutcome, ToolStep, ToolVerdict, ToolsBegun, ToolsFinished,
};
pub use run_error::{Failure, RunError, RunErrorKind};
pub use run_id::RunId;
pub use runtime::{Runtime, Stopped, TokioRuntime};
pub use steadfast_resilience::{
    AdaptiveLimiter, AfterOutput, Available, Backoff, CircuitBreaker, CircuitBreakerBuilder,
    CircuitCall, CircuitChange, CircuitError, CircuitOpen, CircuitState, ConfigError, Cost, Jitter,
    Limiter, LimiterBuilder, LimiterError, Pacer, Pass, Permit, RateLimitEvent, Resilient,
    ResilientStream, Retry, RetryBudget, RetryBudgetBuilder, RetryEvent, RetryQuota, Wait, Windows,
    hedge, hedge_if, is_connection_error, is_timeout, millis, rate_limited_stream, reads_transient,
    resilient_stream, retry_stream, secs,
};
pub use tokio_util::sync::CancellationToken;
pub use tool::{FunctionTool, Tool, ToolContext, ToolError, ToolOutput, ToolSpec};
pub use usage::{StopReason, Usage};

/// The handles that programs pass between tasks stay `Send`, `Sync` and `'static`.
const _: () = {
    const fn shared<T: Send + Sync + 'static>() {}
    const fn moved<T: Send + 'static>() {}
    shared::<Agent>();
    shared::<AgentEvent>();
    shared::<Conversation>();
    shared::<HookRegistry>();
    shared::<ModelError>();
    shared::<RunError>();
    shared::<Run>();
    moved::<Prompt<'static>>();
    moved::<RunFuture<'static>>();
    moved::<RunStream<'static>>();
    moved::<RunHandle>();
};
