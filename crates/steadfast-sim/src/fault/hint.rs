//! When to come back, as a header: the same two headers for all vendors, because all their clients
//! read them.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::RetryHint;

impl RetryHint {
    /// Tells a wait in whole seconds, rounded up, so that nobody comes back too early.
    pub(crate) fn in_whole_seconds(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::After(Duration::from_secs(seconds.max(1)))
    }

    /// Tells a wait in milliseconds, rounded up.
    pub(crate) fn in_millis(wait: Duration) -> Self {
        let millis = wait.as_nanos().div_ceil(1_000_000);
        Self::AfterMillis(Duration::from_millis(
            u64::try_from(millis).unwrap_or(u64::MAX),
        ))
    }

    /// Returns the header that tells the client when to come back.
    pub(crate) fn headers(self) -> HeaderMap {
        let header = match self {
            Self::None => None,
            Self::After(wait) => Some((RETRY_AFTER, wait.as_secs_f64().to_string())),
            Self::AfterMillis(wait) => Some((
                HeaderName::from_static("retry-after-ms"),
                wait.as_millis().to_string(),
            )),
        };
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            headers.insert(name, value);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_round_up() {
        let cases = [
            (0.0, 1, 0),
            (0.05, 1, 50),
            (1.0, 1, 1000),
            (1.2341, 2, 1235),
        ];
        for (wait, seconds, millis) in cases {
            let wait = Duration::from_secs_f64(wait);

            assert_eq!(
                RetryHint::in_whole_seconds(wait),
                RetryHint::After(Duration::from_secs(seconds))
            );
            assert_eq!(
                RetryHint::in_millis(wait),
                RetryHint::AfterMillis(Duration::from_millis(millis))
            );
        }
    }
}
