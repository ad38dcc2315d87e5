//! What can go wrong with a model call, classified once; deciding what to do about it is not here.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RateLimits;
use crate::{millis, redact};

/// The longest sentence, or piece of evidence, that an error keeps, in characters.
const MAX_TEXT_CHARS: usize = 1_000;

/// The longest code or identity.
const MAX_NAME_CHARS: usize = 200;

/// What kind of failure a model call met. Callers match on it, never on text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelErrorKind {
    /// Too many requests or tokens; the same call works later.
    Throttled,
    /// The provider has no capacity just now.
    Overloaded,
    /// The provider failed for a reason of its own that may pass.
    Server,
    /// The connection could not be made or broke.
    Network,
    /// Nothing came for too long.
    Timeout,
    /// The stream ended without its end marker.
    Truncated,
    /// The history is longer than the model's context.
    ContextOverflow,
    /// The request can never fit the limit, however long one waits.
    TooLarge,
    /// Money, plan or daily quota are used up.
    QuotaExhausted,
    /// The key is missing, wrong, or lacks the right.
    Auth,
    /// The provider refuses the request as it is.
    InvalidRequest,
    /// The model or the address does not exist.
    NotFound,
    /// The provider cannot do this.
    Unsupported,
    /// A filter refused the request by HTTP status.
    ContentFiltered,
    /// What came back does not follow the wire's format.
    Protocol,
}

impl ModelErrorKind {
    /// Returns whether the same call may succeed later without any change.
    ///
    /// ```
    /// use steadfast_core::ModelErrorKind;
    ///
    /// assert!(ModelErrorKind::Truncated.is_transient());
    /// assert!(!ModelErrorKind::QuotaExhausted.is_transient());
    /// ```
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Throttled
                | Self::Overloaded
                | Self::Server
                | Self::Network
                | Self::Timeout
                | Self::Truncated
        )
    }

    /// Returns the name that events and stored runs use, such as `quota_exhausted`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Overloaded => "overloaded",
            Self::Server => "server",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Truncated => "truncated",
            Self::ContextOverflow => "context_overflow",
            Self::TooLarge => "too_large",
            Self::QuotaExhausted => "quota_exhausted",
            Self::Auth => "auth",
            Self::InvalidRequest => "invalid_request",
            Self::NotFound => "not_found",
            Self::Unsupported => "unsupported",
            Self::ContentFiltered => "content_filtered",
            Self::Protocol => "protocol",
        }
    }
}

/// A failed model call: its kind, the evidence, and when to come back.
///
/// Cheap to clone and to move. Its source is shared within a process; stored, it survives as text.
/// Anything in the message that is shaped like a credential is masked when the error is made.
///
/// ```
/// use steadfast_core::{ModelError, ModelErrorKind, secs};
///
/// let error = ModelError::new(ModelErrorKind::Throttled, "rate limit reached")
///     .with_status(429)
///     .with_retry_after(secs(7));
/// assert_eq!(error.to_string(), "the model is throttled (429): rate limit reached");
/// assert_eq!(error.retry_after(), Some(secs(7)));
/// assert!(error.is_transient());
/// ```
#[derive(Clone)]
pub struct ModelError(Box<Details>);

#[derive(Clone)]
struct Details {
    kind: ModelErrorKind,
    message: String,
    status: Option<u16>,
    code: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    aws_retry_after: Option<Duration>,
    should_retry: Option<bool>,
    rate_limits: Option<Box<RateLimits>>,
    why: Option<String>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl ModelError {
    /// Makes an error of a kind, with the vendor's sentence or one of our own.
    pub fn new(kind: ModelErrorKind, message: impl AsRef<str>) -> Self {
        Self(Box::new(Details {
            kind,
            message: shown(message.as_ref(), MAX_TEXT_CHARS),
            status: None,
            code: None,
            request_id: None,
            retry_after: None,
            aws_retry_after: None,
            should_retry: None,
            rate_limits: None,
            why: None,
            source: None,
        }))
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Adds the provider's own code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(cut(&code.into(), MAX_NAME_CHARS).to_owned());
        self
    }

    /// Adds the provider's identity of the request.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.0.request_id = Some(cut(&request_id.into(), MAX_NAME_CHARS).to_owned());
        self
    }

    /// Adds the server's own word on how long to wait.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: impl Into<Option<Duration>>) -> Self {
        self.0.retry_after = retry_after.into();
        self
    }

    /// Adds what the header `x-amz-retry-after` says, if it holds whole milliseconds.
    ///
    /// It is a hint like others, so [`with_retry_after`](Self::with_retry_after) gives it too. It is
    /// kept apart because AWS's retry modes heed this header and no other.
    #[must_use]
    pub fn with_aws_retry_after(mut self, retry_after: impl Into<Option<Duration>>) -> Self {
        self.0.aws_retry_after = retry_after.into();
        self
    }

    /// Adds the server's own word on whether to try again, which overrides the kind's.
    #[must_use]
    pub fn with_should_retry(mut self, should_retry: impl Into<Option<bool>>) -> Self {
        self.0.should_retry = should_retry.into();
        self
    }

    /// Adds what the answer's headers say of the provider's limits.
    ///
    /// It is of the moment: it is not stored with the error, and errors are compared without it.
    #[must_use]
    pub fn with_rate_limits(mut self, limits: RateLimits) -> Self {
        self.0.rate_limits = (!limits.is_empty()).then(|| Box::new(limits));
        self
    }

    /// Adds a piece of evidence: what decided the kind, or where the server's word was found.
    ///
    /// Several are joined by commas. Whoever decides says it there and then; nothing is guessed
    /// afterwards.
    ///
    /// ```
    /// use steadfast_core::{ModelError, ModelErrorKind, secs};
    ///
    /// let error = ModelError::new(ModelErrorKind::Overloaded, "Overloaded")
    ///     .with_why("error type `overloaded_error`")
    ///     .with_retry_after(secs(7))
    ///     .with_why("wait from header `retry-after`");
    /// assert_eq!(
    ///     error.why(),
    ///     Some("error type `overloaded_error`, wait from header `retry-after`")
    /// );
    /// ```
    #[must_use]
    pub fn with_why(mut self, evidence: impl AsRef<str>) -> Self {
        let evidence = shown(evidence.as_ref(), MAX_TEXT_CHARS);
        self.0.why = Some(match self.0.why.take() {
            Some(before) => format!("{before}, {evidence}"),
            None => evidence,
        });
        self
    }

    /// Adds the error below.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> ModelErrorKind {
        self.0.kind
    }

    /// Returns whether the same call may succeed later.
    ///
    /// The server's word, or else the kind's.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.should_retry.unwrap_or(self.0.kind.is_transient())
    }

    /// Returns the sentence, with credentials masked.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the HTTP status. An error in mid-stream has the one of the answer: 200.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Returns the provider's own code, such as `rate_limit_exceeded`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// Returns the provider's identity of the request, for its support.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Returns how long the server asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns what the header `x-amz-retry-after` said, for AWS's retry modes.
    #[must_use]
    pub fn aws_retry_after(&self) -> Option<Duration> {
        self.0.aws_retry_after
    }

    /// Returns what the answer's headers say of the provider's limits, if they say something.
    #[must_use]
    pub fn rate_limits(&self) -> Option<&RateLimits> {
        self.0.rate_limits.as_deref()
    }

    /// Returns on what evidence the error was classified, for people: programs match on the kind.
    ///
    /// None where no vendor said anything: the sentence is then one of our own, and the evidence.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.0.why.as_deref()
    }

    /// Returns what to do about it, where the kind alone says it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.0.kind {
            ModelErrorKind::Auth => "check the API key and what it may do",
            ModelErrorKind::NotFound => "check the model's name and the base URL",
            ModelErrorKind::ContextOverflow => {
                "shorten the history or take a model with a larger context"
            }
            ModelErrorKind::TooLarge => "send less at once: waiting does not help",
            ModelErrorKind::QuotaExhausted => {
                "check plan and billing: waiting a little does not help"
            }
            ModelErrorKind::Network => "check the base URL, the network and the proxy",
            _ => return None,
        })
    }
}

/// Masks a text and cuts it, in this order: half a secret is known to nobody.
fn shown(text: &str, most: usize) -> String {
    let mut masked = redact::mask(text);
    masked.truncate(cut(&masked, most).len());
    masked
}

fn cut(text: &str, most: usize) -> &str {
    let end = text.char_indices().nth(most).map(|(end, _)| end);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.kind {
            ModelErrorKind::Throttled => "the model is throttled",
            ModelErrorKind::Overloaded => "the provider is overloaded",
            ModelErrorKind::Server => "the provider failed",
            ModelErrorKind::Network => "the connection failed",
            ModelErrorKind::Timeout => "the model did not answer in time",
            ModelErrorKind::Truncated => "the answer broke off",
            ModelErrorKind::ContextOverflow => "the history does not fit the model's context",
            ModelErrorKind::TooLarge => "the request is too large for the limit",
            ModelErrorKind::QuotaExhausted => "the quota is exhausted",
            ModelErrorKind::Auth => "the provider refused the credentials",
            ModelErrorKind::InvalidRequest => "the provider refused the request",
            ModelErrorKind::NotFound => "the model was not found",
            ModelErrorKind::Unsupported => "the provider does not support this",
            ModelErrorKind::ContentFiltered => "a content filter refused the request",
            ModelErrorKind::Protocol => "the answer does not follow the wire format",
        })?;
        // An error in mid-stream has the status of the answer, which says nothing of the error.
        if let Some(status) = self.0.status.filter(|status| *status >= 300) {
            write!(f, " ({status})")?;
        }
        if !self.0.message.is_empty() {
            write!(f, ": {}", self.0.message.trim_end_matches('.'))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelError")
            .field("kind", &self.0.kind)
            .field("status", &self.0.status)
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("request_id", &self.0.request_id)
            .field("retry_after", &self.0.retry_after)
            .field("why", &self.0.why)
            .finish_non_exhaustive()
    }
}

impl Error for ModelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

/// Compares everything but the source, which has no identity to compare.
impl PartialEq for ModelError {
    fn eq(&self, other: &Self) -> bool {
        let key = |error: &Self| {
            let details = &error.0;
            (
                details.kind,
                details.message.clone(),
                details.status,
                details.code.clone(),
                details.request_id.clone(),
                details.retry_after,
                details.aws_retry_after,
                details.should_retry,
                details.why.clone(),
            )
        };
        key(self) == key(other)
    }
}

/// The form in events and stored runs. The source, a live value, is left behind.
#[derive(Serialize, Deserialize)]
struct Stored {
    kind: ModelErrorKind,
    status: Option<u16>,
    code: Option<String>,
    message: String,
    #[serde(rename = "retry_after_ms", with = "millis::option")]
    retry_after: Option<Duration>,
    #[serde(
        rename = "aws_retry_after_ms",
        with = "millis::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    aws_retry_after: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    should_retry: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Serialize for ModelError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored {
            kind: self.0.kind,
            status: self.0.status,
            code: self.0.code.clone(),
            message: self.0.message.clone(),
            retry_after: self.0.retry_after,
            aws_retry_after: self.0.aws_retry_after,
            request_id: self.0.request_id.clone(),
            should_retry: self.0.should_retry,
            why: self.0.why.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ModelError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        Ok(Self(Box::new(Details {
            rate_limits: None,
            kind: stored.kind,
            message: stored.message,
            status: stored.status,
            code: stored.code,
            request_id: stored.request_id,
            retry_after: stored.retry_after,
            aws_retry_after: stored.aws_retry_after,
            should_retry: stored.should_retry,
            why: stored.why,
            source: None,
        })))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stored_form_is_the_documented_one_and_loads_back() {
        let error = ModelError::new(ModelErrorKind::QuotaExhausted, "no money")
            .with_status(429)
            .with_code("insufficient_quota")
            .with_retry_after(Duration::from_micros(1_500_500));

        let stored = serde_json::to_value(&error).unwrap();

        assert_eq!(
            stored,
            json!({"kind": "quota_exhausted", "status": 429, "code": "insufficient_quota",
                   "message": "no money", "retry_after_ms": 1500.5})
        );
        assert_eq!(serde_json::from_value::<ModelError>(stored).unwrap(), error);
    }

    #[test]
    fn hint_of_aws_is_stored_where_there_is_one() {
        let error = ModelError::new(ModelErrorKind::Throttled, "x")
            .with_aws_retry_after(Duration::from_millis(1_500));

        let stored = serde_json::to_value(&error).unwrap();

        assert_eq!(stored["aws_retry_after_ms"], 1_500);
        assert_eq!(serde_json::from_value::<ModelError>(stored).unwrap(), error);
    }

    #[test]
    fn evidence_is_stored_and_masked() {
        let error = ModelError::new(ModelErrorKind::Auth, "x").with_why("code `sk-abcdef123456`");

        let stored = serde_json::to_value(&error).unwrap();

        assert_eq!(stored["why"], "code `***`");
        assert_eq!(serde_json::from_value::<ModelError>(stored).unwrap(), error);
    }

    #[test]
    fn what_a_vendor_says_is_cut_behind_its_secrets() {
        let long = "é".repeat(MAX_TEXT_CHARS - 10) + " sk-abcdef123456";
        let error = ModelError::new(ModelErrorKind::Server, &long)
            .with_why(&long)
            .with_code(&long)
            .with_request_id(&long);

        assert!(error.message().ends_with("é ***"), "{}", error.message());
        assert!(error.why().is_some_and(|why| why.ends_with("é ***")));
        for name in [error.code(), error.request_id()] {
            assert_eq!(name.map(|name| name.chars().count()), Some(MAX_NAME_CHARS));
        }
    }

    #[test]
    fn error_stays_one_pointer_wide() {
        assert_eq!(size_of::<ModelError>(), size_of::<usize>());
    }

    #[test]
    fn message_is_masked_in_display_and_debug() {
        let error = ModelError::new(ModelErrorKind::Auth, "bad key sk-abcdef123456 given");

        assert_eq!(
            error.to_string(),
            "the provider refused the credentials: bad key *** given"
        );
        assert!(!format!("{error:?}").contains("abcdef"));
    }

    #[test]
    fn source_is_kept_and_the_server_may_overrule_the_kind() {
        let error = ModelError::new(ModelErrorKind::Server, "x")
            .with_source(std::io::Error::other("below"))
            .with_should_retry(false);

        assert_eq!(error.source().unwrap().to_string(), "below");
        assert!(!error.is_transient());
    }
}
