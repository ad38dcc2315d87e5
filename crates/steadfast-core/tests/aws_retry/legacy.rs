//! The mode `legacy`.

use steadfast_core::{AwsRetryStrategy, ModelErrorKind, millis, secs};

use crate::{
    delay, run, seconds,
    wire::{error, exception, replies, reply},
};

/// AG2-9: anywhere below 2ⁿ⁻¹ seconds, without a cap.
#[test]
fn delay_doubles_without_a_cap() {
    let error = error(None, 500);
    for (attempt, share, expected) in [
        (1, 0.0, 0.0),
        (1, 1.0, 1.0),
        (2, 0.5, 1.0),
        (3, 0.25, 1.0),
        (4, 0.999, 7.992),
        (4, 1.0, 8.0),
        (11, 0.5, 512.0),
    ] {
        let strategy = AwsRetryStrategy::legacy().total_max_attempts(100);
        assert_eq!(
            delay(&strategy, &error, attempt, share),
            Some(seconds(expected))
        );
    }
}

/// AG2-9.
#[test]
fn statuses_and_codes_of_its_own_are_retried() {
    for status in [429, 500, 502, 503, 504, 509] {
        let strategy = AwsRetryStrategy::legacy();
        assert!(delay(&strategy, &error(None, status), 1, 0.5).is_some());
        let unknown = error(Some("SomethingElse"), status);
        assert!(delay(&strategy, &unknown, 1, 0.5).is_some());
    }
    for (code, expected) in [
        ("Throttling", true),
        ("ThrottlingException", true),
        ("ThrottledException", true),
        ("RequestThrottledException", true),
        ("ProvisionedThroughputExceededException", true),
        ("RequestLimitExceeded", false),
        ("RequestTimeout", false),
    ] {
        let decided = delay(&AwsRetryStrategy::legacy(), &error(Some(code), 400), 1, 0.5);
        assert_eq!(decided.is_some(), expected, "{code}");
    }
    for name in ["ReadTimeoutError", "EndpointConnectionError"] {
        let decided = delay(&AwsRetryStrategy::legacy(), &exception(name), 1, 0.5);
        assert_eq!(decided, Some(millis(500)));
    }
}

#[tokio::test(start_paused = true)]
async fn five_calls_are_made_where_nobody_said_how_many() {
    let retries = AwsRetryStrategy::legacy();

    let made = run(&retries, replies("throttle 503 throttle 500 throttle ok"))
        .await
        .unwrap();

    assert_eq!(made.calls, 5);
    assert_eq!(made.delays(), [millis(500), secs(1), secs(2), secs(4)]);
    let kind = made.error.unwrap().model_error().unwrap().kind();
    assert_eq!(kind, ModelErrorKind::Throttled);
}

#[tokio::test(start_paused = true)]
async fn hints_are_ignored() {
    let made = run(&AwsRetryStrategy::legacy(), replies("throttle_ra ok"))
        .await
        .unwrap();

    assert_eq!(made.delays(), [millis(500)]);
}

#[tokio::test(start_paused = true)]
async fn no_quota_limits_it() {
    let retries = AwsRetryStrategy::legacy().total_max_attempts(99);

    let made = run(&retries, vec![reply("bare429"); 99]).await.unwrap();

    assert_eq!((made.calls, retries.quota().left()), (99, 500));
}
