//! The error that a run ends with. Classifying model errors is the wires' business, not done here.

use std::{error, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    millis,
    model::{ModelError, ModelErrorKind},
    run::Run,
};

/// What kind of failure ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunErrorKind {
    /// The model call failed, and the strategy did not retry it or gave up.
    Model(ModelErrorKind),
    /// A hook failed.
    Hook,
    /// The run's deadline passed, or the next try would have come after it.
    Deadline,
    /// A hook or strategy asked for more attempts in one turn than the hard cap allows.
    AttemptCap,
    /// The prompt's own settings are wrong.
    Config,
    /// A stored run does not fit what it was given.
    Mismatch,
    /// The runtime below stopped the run; nothing is wrong with the run itself.
    Stopped,
}

impl RunErrorKind {
    const LOOP_KINDS: [Self; 6] = [
        Self::Hook,
        Self::Deadline,
        Self::AttemptCap,
        Self::Config,
        Self::Mismatch,
        Self::Stopped,
    ];

    /// Returns the name that events and stored runs use, such as `attempt_cap`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model(kind) => kind.name(),
            Self::Hook => "hook",
            Self::Deadline => "deadline",
            Self::AttemptCap => "attempt_cap",
            Self::Config => "config",
            Self::Mismatch => "mismatch",
            Self::Stopped => "stopped",
        }
    }
}

impl Serialize for RunErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for RunErrorKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let own = Self::LOOP_KINDS
            .into_iter()
            .find(|kind| kind.name() == name);
        let model = || {
            let value = serde::de::value::StrDeserializer::<D::Error>::new(&name);
            ModelErrorKind::deserialize(value).map(Self::Model)
        };
        own.map_or_else(model, Ok)
    }
}

/// What went wrong with a run, in the form that events carry and stores keep.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Failure(Repr);

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Repr {
    Model(Box<ModelFailure>),
    Loop(Box<LoopFailure>),
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct ModelFailure {
    #[serde(flatten)]
    error: ModelError,
    /// Why the strategy did not try again, where it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gave_up: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct LoopFailure {
    kind: RunErrorKind,
    message: String,
    #[serde(rename = "retry_after_ms", default, with = "millis::option")]
    retry_after: Option<Duration>,
    /// What lies below, as text: the live value does not survive a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model_error: Option<ModelError>,
}

impl PartialEq for LoopFailure {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.message == other.message
            && self.retry_after == other.retry_after
            && self.model_error == other.model_error
            && self.cause.as_ref().map(Cause::text) == other.cause.as_ref().map(Cause::text)
    }
}

#[derive(Clone)]
struct Cause(Arc<dyn error::Error + Send + Sync>);

impl Cause {
    fn text(&self) -> String {
        self.0.to_string()
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(Arc::from(
            Box::<dyn error::Error + Send + Sync>::from(text),
        )))
    }
}

impl Failure {
    pub(crate) fn model(error: ModelError, gave_up: Option<String>) -> Self {
        Self(Repr::Model(Box::new(ModelFailure { error, gave_up })))
    }

    pub(crate) fn of_loop(kind: RunErrorKind, message: impl Into<String>) -> Self {
        Self(Repr::Loop(Box::new(LoopFailure {
            kind,
            message: message.into(),
            retry_after: None,
            cause: None,
            model_error: None,
        })))
    }

    fn edit(mut self, edit: impl FnOnce(&mut LoopFailure)) -> Self {
        if let Repr::Loop(failure) = &mut self.0 {
            edit(failure);
        }
        self
    }

    pub(crate) fn with_cause(self, cause: Arc<dyn error::Error + Send + Sync>) -> Self {
        self.edit(|failure| failure.cause = Some(Cause(cause)))
    }

    pub(crate) fn with_model_error(self, error: Option<ModelError>) -> Self {
        self.edit(|failure| failure.model_error = error)
    }

    pub(crate) fn with_retry_after(self, delay: Duration) -> Self {
        self.edit(|failure| failure.retry_after = Some(delay))
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> RunErrorKind {
        match &self.0 {
            Repr::Model(failure) => RunErrorKind::Model(failure.error.kind()),
            Repr::Loop(failure) => failure.kind,
        }
    }

    /// Returns the last error of the model, if one has to do with it.
    #[must_use]
    pub const fn model_error(&self) -> Option<&ModelError> {
        match &self.0 {
            Repr::Model(failure) => Some(&failure.error),
            Repr::Loop(failure) => failure.model_error.as_ref(),
        }
    }

    /// Returns when to come back, counted from the end of the run.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.0 {
            Repr::Model(failure) => failure.error.retry_after(),
            Repr::Loop(failure) => failure.retry_after,
        }
    }

    /// Returns why the model was not called again, where the strategy said so.
    #[must_use]
    pub fn gave_up(&self) -> Option<&str> {
        match &self.0 {
            Repr::Model(failure) => failure.gave_up.as_deref(),
            Repr::Loop(_) => None,
        }
    }

    /// Returns what to do about it, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let come_back = self
            .retry_after()
            .map(|delay| format!("come back in {delay:?}"));
        let hint = match &self.0 {
            Repr::Model(failure) => {
                let known = || failure.error.hint().map(str::to_owned);
                let parts = failure.gave_up.clone().into_iter();
                let hint: Vec<String> = parts.chain(come_back.or_else(known)).collect();
                return (!hint.is_empty()).then(|| hint.join("; "));
            }
            Repr::Loop(_) if come_back.is_some() => return come_back,
            Repr::Loop(failure) => match failure.kind {
                RunErrorKind::Deadline => "give the run more time, or resume it from the error",
                RunErrorKind::AttemptCap => {
                    "look for a hook that always sets `retry`, or give `max_attempts_per_turn` what the strategy needs"
                }
                _ => return None,
            },
        };
        Some(hint.to_owned())
    }

    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.0 {
            Repr::Model(failure) => error::Error::source(&failure.error),
            Repr::Loop(failure) => match (&failure.cause, &failure.model_error) {
                (Some(cause), _) => Some(&*cause.0),
                // The message says it, since it is why there were so many attempts.
                (None, Some(_)) if failure.kind == RunErrorKind::AttemptCap => None,
                (None, Some(error)) => Some(error),
                (None, None) => None,
            },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Model(failure) => fmt::Display::fmt(&failure.error, f),
            Repr::Loop(failure) => f.write_str(&failure.message),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Model(failure) => fmt::Debug::fmt(&failure.error, f),
            Repr::Loop(failure) => f
                .debug_struct("Failure")
                .field("kind", &failure.kind)
                .field("message", &failure.message)
                .field("cause", &failure.cause.as_ref().map(Cause::text))
                .field("model_error", &failure.model_error)
                .finish_non_exhaustive(),
        }
    }
}

/// A run that ended without a result.
///
/// It carries the run, which can be stored or resumed: see [`crate::Agent::resume`]. Its `Debug`
/// form says nothing of what was prompted or answered.
///
/// ```
/// use steadfast_core::{
///     Agent, ModelErrorKind, NoopRetryStrategy, RunErrorKind, testing::{Reply, ScriptedModel},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let agent = Agent::builder()
///     .model(ScriptedModel::new([Reply::throttled(), Reply::text("Yes.")]))
///     .retry_strategy(NoopRetryStrategy)
///     .build()?;
/// let error = agent.prompt("Umbrella?").await.unwrap_err();
/// assert_eq!(error.kind(), RunErrorKind::Model(ModelErrorKind::Throttled));
///
/// let answer = agent.resume(error.into_run()).await?;
/// assert_eq!(answer.text(), "Yes.");
/// # Ok(())
/// # }
/// ```
pub struct RunError {
    failure: Failure,
    run: Box<Run>,
}

impl RunError {
    pub(crate) const fn new(failure: Failure, run: Box<Run>) -> Self {
        Self { failure, run }
    }

    /// The error of a task that was ended from outside, by a runtime that shuts down.
    pub(crate) fn of_lost_task() -> Self {
        let failure = Failure::of_loop(
            RunErrorKind::Stopped,
            "the task of the run was ended from outside",
        );
        Self::new(failure.clone(), Box::new(Run::lost(failure)))
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> RunErrorKind {
        self.failure.kind()
    }

    /// Returns what went wrong, in the form that events carry.
    #[must_use]
    pub const fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Returns the last error of the model, if one has to do with it.
    #[must_use]
    pub const fn model_error(&self) -> Option<&ModelError> {
        self.failure.model_error()
    }

    /// Returns whether the model's failure ended the run, and the same prompt may succeed later.
    ///
    /// A prompt that is given again runs its tools again; within a run the strategy retries, without
    /// that.
    ///
    /// ```
    /// use steadfast_core::{
    ///     Agent, Backoff, NoopRetryStrategy, Retry, RunError, secs, testing::{Reply, ScriptedModel},
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let agent = Agent::builder()
    ///     .model(ScriptedModel::new([Reply::throttled(), Reply::text("Yes.")]))
    ///     .retry_strategy(NoopRetryStrategy)
    ///     .build()?;
    /// let retry = Retry::new(Backoff::exponential(secs(1)))
    ///     .retry_if(RunError::is_transient)
    ///     .hint(RunError::retry_after);
    ///
    /// assert_eq!(retry.run(|| agent.prompt("Umbrella?")).await?.text(), "Yes.");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let is_of_model = matches!(self.kind(), RunErrorKind::Model(_));
        is_of_model && self.model_error().is_some_and(ModelError::is_transient)
    }

    /// Returns when to come back, counted from the end of the run.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.failure.retry_after()
    }

    /// Returns how many times the model was called in the whole run.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.run.attempts()
    }

    /// Returns what to do about it, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.failure.hint()
    }

    /// Returns the run as it stopped.
    #[must_use]
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// Takes the run out, to store or to resume it.
    #[must_use]
    pub fn into_run(self) -> Run {
        *self.run
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.failure, f)
    }
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What `main` prints when it returns an error: for people, as in `ConfigError`.
        fmt::Display::fmt(self, f)?;
        match self.hint() {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl error::Error for RunError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.failure.source()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_round_trip(failure: &Failure, expected: serde_json::Value) {
        let stored = serde_json::to_value(failure).unwrap();
        assert_eq!(stored, expected);
        assert_eq!(&serde_json::from_value::<Failure>(stored).unwrap(), failure);
    }

    #[test]
    fn failures_load_back_from_their_documented_form() {
        let error = ModelError::new(ModelErrorKind::Auth, "no key").with_status(401);
        check_round_trip(
            &Failure::model(error.clone(), None),
            json!({"kind": "auth", "status": 401, "code": null, "message": "no key", "retry_after_ms": null}),
        );
        check_round_trip(
            &Failure::model(error.clone(), Some("the budget is spent".to_owned())),
            json!({"kind": "auth", "status": 401, "code": null, "message": "no key", "retry_after_ms": null,
                   "gave_up": "the budget is spent"}),
        );
        check_round_trip(
            &Failure::of_loop(RunErrorKind::Deadline, "too late")
                .with_model_error(Some(error))
                .with_retry_after(Duration::from_secs(7)),
            json!({"kind": "deadline", "message": "too late", "retry_after_ms": 7000,
                   "model_error": {"kind": "auth", "status": 401, "code": null, "message": "no key",
                                   "retry_after_ms": null}}),
        );
        check_round_trip(
            &Failure::of_loop(RunErrorKind::Hook, "a hook failed")
                .with_cause(Arc::new(std::io::Error::other("boom"))),
            json!({"kind": "hook", "message": "a hook failed", "retry_after_ms": null, "cause": "boom"}),
        );
    }
}
