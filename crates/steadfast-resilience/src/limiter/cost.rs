//! What an operation takes from a limiter; it knows no limit.

/// What one operation takes: requests, and a model's tokens where these are limited as well.
///
/// The tokens are an estimate, reserved before the call. [`Permit::settle`](crate::Permit::settle)
/// corrects it.
///
/// ```
/// use steadfast_resilience::Cost;
///
/// let call = Cost::request().tokens(4_000);
/// assert_eq!((call.request_count(), call.token_count()), (1, 4_000));
/// assert_eq!(Cost::default(), Cost::request());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    requests: u32,
    tokens: u64,
}

impl Cost {
    /// One request without tokens.
    #[must_use]
    pub const fn request() -> Self {
        Self::requests(1)
    }

    /// So many requests that go at once, as a batch or an endpoint that counts for several.
    ///
    /// Whatever the number, it is one operation and takes one place of the concurrency limit.
    #[must_use]
    pub const fn requests(requests: u32) -> Self {
        Self {
            requests,
            tokens: 0,
        }
    }

    /// Adds the tokens that the call will probably use: those of its input and the most it may answer.
    #[must_use]
    pub const fn tokens(mut self, tokens: u64) -> Self {
        self.tokens = tokens;
        self
    }

    /// Returns how many requests it takes.
    #[must_use]
    pub const fn request_count(self) -> u32 {
        self.requests
    }

    /// Returns how many tokens it takes.
    #[must_use]
    pub const fn token_count(self) -> u64 {
        self.tokens
    }
}

/// One request without tokens.
impl Default for Cost {
    fn default() -> Self {
        Self::request()
    }
}
