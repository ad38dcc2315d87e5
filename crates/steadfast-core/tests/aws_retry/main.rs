//! AWS's retry modes: botocore's own numbers, and what the modes do in an agent.
//!
//! A few numbers stand here. All 254 vectors are read from `botocore_vectors.json` and
//! `botocore_vectors_pre2026.json`, beside the folder that `STEADFAST_RECORDINGS` names, where they are
//! there.

mod adaptive;
mod config;
mod legacy;
mod quota;
mod shared_vectors;
mod standard;
mod wire;

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use futures_core::future::BoxFuture;
use steadfast_core::{
    Agent, AgentBuilder, AgentEvent, AwsRetryStrategy, DecidedBy, FailedAttempt, ModelError,
    Prompt, RetryDecision, RunError, Runtime, StepName, StepOutcome, Stopped, TokioRuntime,
    testing::{Reply, ScriptedModel},
};

/// What a helper gives; a test unwraps it.
type Checked<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A runtime whose random bits are all the same.
struct FixedChance {
    tokio: TokioRuntime,
    random: u64,
}

impl FixedChance {
    fn new(share: f64) -> Self {
        Self {
            tokio: TokioRuntime::seeded(7),
            random: bits(share),
        }
    }
}

impl Runtime for FixedChance {
    fn record<'a>(
        &'a self,
        name: StepName,
        work: BoxFuture<'a, StepOutcome>,
    ) -> BoxFuture<'a, Result<StepOutcome, Stopped>> {
        self.tokio.record(name, work)
    }

    fn sleep_until<'a>(
        &'a self,
        name: StepName,
        until: SystemTime,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        self.tokio.sleep_until(name, until)
    }

    fn now(&self) -> SystemTime {
        self.tokio.now()
    }

    fn random(&self) -> u64 {
        self.random
    }
}

/// The random bits that make a share of the delay. All of it is as near as bits can come, which is
/// nearer than a nanosecond of any delay here.
fn bits(share: f64) -> u64 {
    (share * 2.0_f64.powi(64)) as u64
}

/// The delay that a strategy decides for an attempt; none if the error stands.
fn delay(
    strategy: &AwsRetryStrategy,
    error: &ModelError,
    attempt: u32,
    share: f64,
) -> Option<Duration> {
    let failed = FailedAttempt::new(error, attempt).with_random(bits(share));
    match strategy.decide(&failed) {
        RetryDecision::Retry { delay, .. } => Some(delay),
        _ => None,
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn agent(model: &ScriptedModel, retries: &AwsRetryStrategy) -> AgentBuilder {
    Agent::builder()
        .model(model.clone())
        .retry_strategy(retries.clone())
}

/// What a run told: how many calls it made, its waits and who set them, and its error if it failed.
struct Made {
    calls: usize,
    waits: Vec<(DecidedBy, Duration)>,
    error: Option<RunError>,
}

impl Made {
    fn delays(&self) -> Vec<Duration> {
        self.waits.iter().map(|(_, delay)| *delay).collect()
    }

    fn gave_up(&self) -> Option<&str> {
        self.error.as_ref()?.failure().gave_up()
    }
}

/// Has an agent meet these replies, with all delays at half of what they could be.
async fn run(
    retries: &AwsRetryStrategy,
    replies: impl IntoIterator<Item = Reply>,
) -> Checked<Made> {
    let model = ScriptedModel::new(replies);
    let agent = agent(&model, retries).build()?;
    let chance = FixedChance::new(0.5);
    let mut made = told(agent.prompt("?").on_runtime(&chance)).await;
    made.calls = model.calls();
    Ok(made)
}

async fn told(prompt: Prompt<'_>) -> Made {
    let mut stream = prompt.stream();
    let mut waits = Vec::new();
    let mut calls = 0;
    while let Some(event) = stream.next().await {
        match event {
            AgentEvent::EventLoopThrottle(event) => waits.push((event.decided_by(), event.delay())),
            AgentEvent::AttemptStarted(_) => calls += 1,
            _ => {}
        }
    }
    Made {
        calls,
        waits,
        error: stream.result().await.err(),
    }
}
