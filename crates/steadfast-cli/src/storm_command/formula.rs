//! How others wait: one formula each, from their published sources, named in `strategies.rs`.
//!
//! Models of them, not their code: what a formula leaves out (connection pools, other errors) does not
//! come up in a storm. Each is asked about every failure, and says itself if it retries throttles only.

use std::time::Duration;

use steadfast::{FailedAttempt, ModelErrorKind, RetryDecision, RetryStrategy};

use super::chance::unit;

/// A strategy that is one formula: how many seconds until the next attempt, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Formula(pub(super) fn(&Failure) -> Option<f64>);

/// What a formula is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    /// How many retries were made before: 0 for the first.
    retries: i32,
    /// What the server asked for, in seconds.
    hint: Option<f64>,
    /// From 0 up to 1.
    random: f64,
    throttled: bool,
}

impl RetryStrategy for Formula {
    fn decide(&self, attempt: &FailedAttempt<'_>) -> RetryDecision {
        let failure = Failure {
            retries: i32::try_from(attempt.attempt().saturating_sub(1)).unwrap_or(i32::MAX),
            hint: attempt.error().retry_after().map(|hint| hint.as_secs_f64()),
            random: unit(attempt.random()),
            throttled: attempt.error().kind() == ModelErrorKind::Throttled,
        };
        match (self.0)(&failure) {
            Some(seconds) => {
                RetryDecision::after(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
            }
            None => RetryDecision::give_up(),
        }
    }
}

/// A first delay that doubles, up to a longest.
fn doubling(first: f64, retries: i32, longest: f64) -> f64 {
    (first * 2_f64.powi(retries)).min(longest)
}

/// Throttles only: what else fails ends the run.
pub(super) fn strands_python(failure: &Failure) -> Option<f64> {
    (failure.throttled && failure.retries < 5).then(|| doubling(4.0, failure.retries, 240.0))
}

pub(super) fn strands_typescript(failure: &Failure) -> Option<f64> {
    strands_python(failure).map(|delay| failure.random * delay)
}

/// Two retries of the client below within each attempt of Strands.
pub(super) fn strands_over_botocore(failure: &Failure) -> Option<f64> {
    let (outer, inner) = (failure.retries / 3, failure.retries % 3);
    let below = Failure {
        retries: inner,
        ..*failure
    };
    let above = Failure {
        retries: outer,
        ..*failure
    };
    botocore_standard(&below).or_else(|| strands_python(&above))
}

pub(super) fn botocore_legacy(failure: &Failure) -> Option<f64> {
    (failure.retries < 4).then(|| failure.random * doubling(1.0, failure.retries, f64::INFINITY))
}

pub(super) fn botocore_standard(failure: &Failure) -> Option<f64> {
    botocore(failure, 3)
}

pub(super) fn botocore_standard_5(failure: &Failure) -> Option<f64> {
    botocore(failure, 5)
}

fn botocore(failure: &Failure, attempts: i32) -> Option<f64> {
    let first = if failure.throttled { 1.0 } else { 0.05 };
    (failure.retries < attempts - 1)
        .then(|| failure.random * doubling(first, failure.retries, 20.0))
}

pub(super) fn openai_python(failure: &Failure) -> Option<f64> {
    openai(failure, 2)
}

pub(super) fn openai_python_10(failure: &Failure) -> Option<f64> {
    openai(failure, 10)
}

/// It goes by a hint of up to two minutes; a longer one is not waited for.
fn openai(failure: &Failure, retries: i32) -> Option<f64> {
    match failure.hint {
        _ if failure.retries >= retries => None,
        Some(hint) if hint > 120.0 => None,
        Some(hint) if hint > 0.0 => Some(hint),
        _ => Some(doubling(0.5, failure.retries, 8.0) * (1.0 - 0.25 * failure.random)),
    }
}

/// It goes by a hint below a minute, or below its own delay.
pub(super) fn vercel(failure: &Failure) -> Option<f64> {
    let delay = doubling(2.0, failure.retries, f64::INFINITY);
    let hint = failure.hint.filter(|hint| *hint < 60.0 || *hint < delay);
    (failure.retries < 2).then(|| hint.unwrap_or(delay))
}

pub(super) fn google_genai(failure: &Failure) -> Option<f64> {
    let delay = doubling(1.0, failure.retries, f64::INFINITY) + failure.random;
    (failure.retries < 4).then(|| delay.min(60.0))
}

pub(super) fn litellm(failure: &Failure) -> Option<f64> {
    let hint = failure.hint.filter(|hint| *hint > 0.0 && *hint <= 60.0);
    let delay = hint.unwrap_or_else(|| doubling(0.5, failure.retries, 8.0));
    (failure.retries < 2).then_some(delay + 0.75 * failure.random)
}

pub(super) fn codex(failure: &Failure) -> Option<f64> {
    let delay = doubling(0.2, failure.retries, f64::INFINITY) * (0.9 + 0.2 * failure.random);
    (failure.retries < 5).then(|| failure.hint.unwrap_or(delay))
}

pub(super) fn pydantic_ai(failure: &Failure) -> Option<f64> {
    let delay = doubling(1.0, failure.retries, 60.0);
    (failure.retries < 4).then(|| failure.hint.map_or(delay, |hint| hint.min(300.0)))
}

pub(super) fn agentrouter(failure: &Failure) -> Option<f64> {
    (failure.retries < 3).then(|| doubling(1.0, failure.retries, 60.0))
}

pub(super) fn aegeantic(failure: &Failure) -> Option<f64> {
    let delay = doubling(1.0, failure.retries, f64::INFINITY);
    (failure.retries < 2).then_some(delay * (0.75 + 0.5 * failure.random))
}

pub(super) fn full_jitter_for_ever(failure: &Failure) -> Option<f64> {
    let window = doubling(0.5, failure.retries.min(30), 20.0);
    Some(failure.hint.unwrap_or_default() + failure.random * window)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(formula: fn(&Failure) -> Option<f64>, random: f64, hint: Option<f64>) -> Vec<f64> {
        let failure = |retries| Failure {
            retries,
            hint,
            random,
            throttled: true,
        };
        (0..20)
            .map_while(|retries| formula(&failure(retries)))
            .collect()
    }

    #[test]
    fn delays_are_those_of_the_published_sources() {
        let half = |formula| delays(formula, 0.5, None);

        assert_eq!(half(strands_python), [4.0, 8.0, 16.0, 32.0, 64.0]);
        assert_eq!(half(strands_typescript), [2.0, 4.0, 8.0, 16.0, 32.0]);
        assert_eq!(half(strands_over_botocore).len(), 17);
        assert_eq!(half(strands_over_botocore)[..4], [0.5, 1.0, 4.0, 0.5]);
        assert_eq!(half(botocore_legacy), [0.5, 1.0, 2.0, 4.0]);
        assert_eq!(half(botocore_standard), [0.5, 1.0]);
        assert_eq!(half(botocore_standard_5), [0.5, 1.0, 2.0, 4.0]);
        assert_eq!(half(openai_python), [0.4375, 0.875]);
        assert_eq!(half(openai_python_10).len(), 10);
        assert_eq!(half(vercel), [2.0, 4.0]);
        assert_eq!(half(google_genai), [1.5, 2.5, 4.5, 8.5]);
        assert_eq!(half(litellm), [0.875, 1.375]);
        assert_eq!(half(codex), [0.2, 0.4, 0.8, 1.6, 3.2]);
        assert_eq!(half(pydantic_ai), [1.0, 2.0, 4.0, 8.0]);
        assert_eq!(half(agentrouter), [1.0, 2.0, 4.0]);
        assert_eq!(half(aegeantic), [1.0, 2.0]);
        assert_eq!(
            half(full_jitter_for_ever)[..8],
            [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
        );
    }

    #[test]
    fn strands_retries_throttles_only() {
        let others = |formula: fn(&Failure) -> Option<f64>| {
            let failure = |retries| Failure {
                retries,
                hint: None,
                random: 0.5,
                throttled: false,
            };
            let delays = (0..20).map_while(|retries| formula(&failure(retries)));
            delays.collect::<Vec<f64>>()
        };

        assert_eq!(others(strands_python), [] as [f64; 0]);
        assert_eq!(others(strands_typescript), [] as [f64; 0]);
        // The client below retries more.
        assert_eq!(others(strands_over_botocore), [0.025, 0.05]);
        assert_eq!(others(openai_python), [0.4375, 0.875]);
    }

    #[test]
    fn hints_are_heeded_by_those_who_read_them() {
        let told = |formula, hint| delays(formula, 0.0, Some(hint)).first().copied();

        assert_eq!(told(strands_python, 7.0), Some(4.0));
        assert_eq!(told(botocore_standard, 7.0), Some(0.0));
        assert_eq!(told(openai_python, 7.0), Some(7.0));
        assert_eq!(told(openai_python, 121.0), None);
        assert_eq!(told(vercel, 59.0), Some(59.0));
        assert_eq!(told(vercel, 61.0), Some(2.0));
        assert_eq!(told(litellm, 61.0), Some(0.5));
        assert_eq!(told(codex, 7.0), Some(7.0));
        assert_eq!(told(pydantic_ai, 400.0), Some(300.0));
        assert_eq!(told(full_jitter_for_ever, 7.0), Some(7.0));
    }
}
