//! What an answer's headers say of the provider's limits. What follows from it is not decided here.

use http::HeaderMap;
use steadfast_core::{RateLimit, RateLimits};

use crate::retry_hint::{text, units, until};

/// The names under which one limit is told.
pub(crate) struct Dimension {
    limit: &'static str,
    pub(crate) remaining: &'static str,
    pub(crate) reset: &'static str,
}

/// OpenAI's names, which most compatible servers share, and Anthropic's.
const REQUESTS: [Dimension; 2] = [
    Dimension {
        limit: "x-ratelimit-limit-requests",
        remaining: "x-ratelimit-remaining-requests",
        reset: "x-ratelimit-reset-requests",
    },
    Dimension {
        limit: "anthropic-ratelimit-requests-limit",
        remaining: "anthropic-ratelimit-requests-remaining",
        reset: "anthropic-ratelimit-requests-reset",
    },
];

const TOKENS: [Dimension; 4] = [
    Dimension {
        limit: "x-ratelimit-limit-tokens",
        remaining: "x-ratelimit-remaining-tokens",
        reset: "x-ratelimit-reset-tokens",
    },
    Dimension {
        limit: "anthropic-ratelimit-tokens-limit",
        remaining: "anthropic-ratelimit-tokens-remaining",
        reset: "anthropic-ratelimit-tokens-reset",
    },
    Dimension {
        limit: "anthropic-ratelimit-input-tokens-limit",
        remaining: "anthropic-ratelimit-input-tokens-remaining",
        reset: "anthropic-ratelimit-input-tokens-reset",
    },
    Dimension {
        limit: "anthropic-ratelimit-output-tokens-limit",
        remaining: "anthropic-ratelimit-output-tokens-remaining",
        reset: "anthropic-ratelimit-output-tokens-reset",
    },
];

/// All limits that are told.
pub(crate) fn dimensions() -> impl Iterator<Item = &'static Dimension> {
    REQUESTS.iter().chain(&TOKENS)
}

/// Reads the limits that headers tell.
pub(crate) fn rate_limits(headers: &HeaderMap) -> RateLimits {
    let left = |limit: &RateLimit| limit.remaining as f64 / limit.limit as f64;
    let tightest = |dimensions: &[Dimension]| {
        dimensions
            .iter()
            .filter_map(|dimension| dimension.read(headers))
            .min_by(|one, other| left(one).total_cmp(&left(other)))
    };
    RateLimits::new()
        .with_requests(tightest(&REQUESTS))
        .with_tokens(tightest(&TOKENS))
}

impl Dimension {
    /// None where the numbers are none: Azure tells `-1` for a limit that it does not know.
    fn read(&self, headers: &HeaderMap) -> Option<RateLimit> {
        let number = |name| text(headers, name)?.parse::<u64>().ok();
        let limit = number(self.limit).filter(|limit| *limit > 0)?;
        let reset = text(headers, self.reset);
        let reset = reset.and_then(|value| units(value).or_else(|| until(value, headers)));
        Some(RateLimit::new(limit, number(self.remaining)?).with_reset(reset))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn limits_of_openai_are_read_with_their_resets() {
        let limits = rate_limits(&headers(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "6ms"),
        ]));

        assert_eq!(
            limits.requests.and_then(|limit| limit.per_second()),
            Some(1.0)
        );
        assert_eq!(limits.tokens.map(|limit| limit.remaining), Some(149_984));
    }

    #[test]
    fn tightest_of_several_token_limits_is_told() {
        let limits = rate_limits(&headers(&[
            ("date", "Sun, 22 Nov 2026 12:00:00 GMT"),
            ("anthropic-ratelimit-input-tokens-limit", "50000"),
            ("anthropic-ratelimit-input-tokens-remaining", "40000"),
            (
                "anthropic-ratelimit-input-tokens-reset",
                "2026-11-22T12:00:12Z",
            ),
            ("anthropic-ratelimit-output-tokens-limit", "10000"),
            ("anthropic-ratelimit-output-tokens-remaining", "1000"),
            (
                "anthropic-ratelimit-output-tokens-reset",
                "2026-11-22T12:00:54Z",
            ),
        ]));

        let tokens = limits.tokens.unwrap();
        assert_eq!((tokens.limit, tokens.remaining), (10_000, 1_000));
        assert_eq!(tokens.reset, Some(Duration::from_secs(54)));
    }

    #[test]
    fn numbers_that_are_none_are_no_limits() {
        for (limit, remaining) in [("-1", "0"), ("0", "0"), ("60", "many"), ("", "")] {
            let limits = rate_limits(&headers(&[
                ("x-ratelimit-limit-requests", limit),
                ("x-ratelimit-remaining-requests", remaining),
            ]));

            assert!(limits.is_empty(), "{limit} {remaining}");
        }
    }
}
