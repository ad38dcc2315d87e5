//! What an error of a model says of itself.

use steadfast_core::{ModelError, ModelErrorKind as Kind, secs};

#[test]
fn kinds_that_a_user_can_mend_say_how() {
    for (kind, expected) in [
        (Kind::Auth, Some("API key")),
        (Kind::NotFound, Some("base URL")),
        (Kind::ContextOverflow, Some("larger context")),
        (Kind::TooLarge, Some("send less")),
        (Kind::QuotaExhausted, Some("billing")),
        (Kind::Network, Some("proxy")),
        (Kind::Throttled, None),
        (Kind::Protocol, None),
    ] {
        let hint = ModelError::new(kind, "").hint();
        assert_eq!(hint.is_some(), expected.is_some(), "{kind:?}");
        assert!(
            hint.unwrap_or_default()
                .contains(expected.unwrap_or_default())
        );
    }
}

#[test]
fn status_is_shown_unless_it_says_that_all_is_well() {
    let error = |status| ModelError::new(Kind::Server, "oops.").with_status(status);
    for (status, expected) in [
        (200, "the provider failed: oops"),
        (299, "the provider failed: oops"),
        (300, "the provider failed (300): oops"),
        (503, "the provider failed (503): oops"),
    ] {
        assert_eq!(error(status).to_string(), expected);
        assert_eq!(error(status).message(), "oops.");
    }
}

#[test]
fn errors_are_equal_in_everything_but_their_source() {
    let error = || ModelError::new(Kind::Server, "oops");
    assert_eq!(error().with_source("below"), error());
    assert_eq!(error().with_why("status 503").why(), Some("status 503"));
    for other in [
        ModelError::new(Kind::Network, "oops"),
        ModelError::new(Kind::Server, "alas"),
        error().with_status(503),
        error().with_code("x"),
        error().with_request_id("1"),
        error().with_retry_after(secs(1)),
        error().with_should_retry(true),
        error().with_why("status 503"),
    ] {
        assert_ne!(other, error());
    }
}
