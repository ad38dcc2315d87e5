//! Times, causes and endings in words.

use std::time::Duration;

use serde_json::Value;
use steadfast::{
    AttemptDiscardedEvent, DiscardReason, ModelError, ModelErrorKind, RunSummary, StopReason,
};

use crate::styled_line::shortened;

/// The longest sentence of a provider's that is shown in a line.
const WORDS_COLUMNS: usize = 80;

/// The longest arguments of a tool that are shown in a line.
const ARGUMENTS_COLUMNS: usize = 60;

/// Says a time in the unit that people would use.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) if time < Duration::from_millis(100) => format!("{}ms", time.as_millis()),
        (0, 0, _) => format!("{:.1}s", tenths(time)),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

/// Cuts to tenths of a second: a countdown must not say more than is left.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).floor() / 10.0
}

/// Says what is left of a wait: the tenth of a second that has begun counts whole, so that a
/// countdown does not end before the wait does.
pub(crate) fn remaining(left: Duration, of: Duration) -> String {
    let minute = Duration::from_secs(60);
    let tenth = Duration::from_millis(100);
    if left >= minute || of < tenth {
        return duration(left);
    }
    let left = (left.as_secs_f64() * 10.0).ceil() / 10.0;
    format!("{left:.1}s")
}

/// Why an attempt does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The kind of error and its status.
    pub(crate) kind: String,
    /// The provider's own words, where the kind alone says little.
    pub(crate) words: Option<String>,
}

impl Cause {
    /// The cause of a model call that failed.
    pub(crate) fn of(error: &ModelError) -> Self {
        let mut kind = error.kind().name().replace('_', " ");
        // Whatever breaks an answer that has begun has the status of the answer.
        if let Some(status) = error.status().filter(|status| *status >= 400) {
            kind.push_str(&format!(" ({status})"));
        }
        let says_enough = matches!(
            error.kind(),
            ModelErrorKind::Throttled | ModelErrorKind::Overloaded
        );
        let words = error.message().trim_end_matches('.');
        let words = (!says_enough && !words.is_empty()).then(|| shortened(words, WORDS_COLUMNS));
        Self { kind, words }
    }

    /// The cause of an answer that a hook does not take.
    pub(crate) fn hook() -> Self {
        Self::plain("a hook wants another answer")
    }

    /// The cause of an attempt that was discarded.
    pub(crate) fn of_discarded(event: &AttemptDiscardedEvent) -> Self {
        match (event.reason(), event.error()) {
            (DiscardReason::RetriedByHook, _) => Self::hook(),
            (DiscardReason::HookError, _) => Self::plain("a hook failed"),
            (DiscardReason::Deadline, _) => Self::plain("the deadline passed"),
            (DiscardReason::Cancelled, _) => Self::plain("cancelled"),
            (_, Some(error)) => Self::of(error),
            (_, None) => Self::plain("failed"),
        }
    }

    fn plain(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            words: None,
        }
    }
}

/// Says the arguments of a tool call, as far as they fit.
pub(crate) fn arguments(input: &Value) -> String {
    match input {
        Value::Object(fields) if fields.is_empty() => String::new(),
        Value::Null => String::new(),
        input => shortened(&input.to_string(), ARGUMENTS_COLUMNS),
    }
}

/// Says how a run ended. Where something else than the model ended it, the text is no whole answer,
/// and the line says so, with the reason's name for whoever looks it up.
pub(crate) fn stop(reason: StopReason) -> String {
    let ended = ending(reason);
    let is_models_own = matches!(
        reason,
        StopReason::EndTurn | StopReason::StopSequence | StopReason::Refusal
    );
    if is_models_own {
        return ended.to_owned();
    }
    let name = serde_json::to_value(reason).unwrap_or_default();
    let name = name.as_str().unwrap_or_default();
    format!("{ended} before the model was done ({name})")
}

const fn ending(reason: StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn | StopReason::StopSequence => "done",
        StopReason::MaxTokens => "cut off at the output limit",
        StopReason::Refusal => "the model declined",
        StopReason::ContentFiltered => "stopped by the provider's content filter",
        StopReason::GuardrailIntervened => "stopped by a guardrail",
        StopReason::LimitTurns => "stopped at the limit of turns",
        StopReason::LimitTokens => "stopped at the limit of tokens",
        StopReason::Interrupt => "stopped to wait for a person",
        StopReason::Cancelled => "cancelled",
        _ => "ended",
    }
}

/// Says what a run came to in numbers.
pub(crate) fn totals(result: &RunSummary) -> String {
    let totals = format!(
        "{}, {}, {} tokens, {}",
        plural(result.turns(), "turn"),
        plural(result.attempts(), "attempt"),
        result.usage().total(),
        duration(result.duration()),
    );
    if result.waited().is_zero() {
        return totals;
    }
    format!("{totals} ({} of it waiting)", duration(result.waited()))
}

/// Says how many of something there are.
fn plural(count: u32, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_the_usual_unit() {
        let cases = [
            (0, "0ms"),
            (99, "99ms"),
            (100, "0.1s"),
            (1_499, "1.4s"),
            (59_999, "59.9s"),
            (60_000, "1m 0s"),
            (240_500, "4m 0s"),
            (3_600_000, "1h 0m"),
        ];
        for (millis, expected) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn causes_name_kind_and_status_and_the_rest_where_it_helps() {
        let throttled =
            ModelError::new(ModelErrorKind::Throttled, "Rate limit reached").with_status(429);
        let truncated = ModelError::new(ModelErrorKind::Truncated, "no end.").with_status(200);

        assert_eq!(Cause::of(&throttled), Cause::plain("throttled (429)"));
        let expected = Cause {
            words: Some("no end".to_owned()),
            ..Cause::plain("truncated")
        };
        assert_eq!(Cause::of(&truncated), expected);
    }

    #[test]
    fn countdowns_do_not_end_before_the_wait() {
        let millis = Duration::from_millis;
        for (left, of, expected) in [
            (1_500, 1_500, "1.5s"),
            (1_401, 1_500, "1.5s"),
            (1, 1_500, "0.1s"),
            (0, 1_500, "0.0s"),
            (59_950, 60_000, "60.0s"),
            (61_000, 61_000, "1m 1s"),
            (5, 10, "5ms"),
        ] {
            assert_eq!(remaining(millis(left), millis(of)), expected);
        }
    }
}
