//! The mode `standard`: what it retries, after how long, and how often.

use steadfast_core::{
    AfterModelCallEvent, AgentEvent, AwsRetryRules, AwsRetryStrategy, CancellationToken, DecidedBy,
    ModelError, ModelErrorKind, RunErrorKind, StopReason, millis, secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};
use tokio::time::Instant;

use crate::{
    FixedChance, agent, delay, run, seconds,
    wire::{error, exception, replies, reply},
};

fn pre_2026() -> AwsRetryStrategy {
    AwsRetryStrategy::standard().rules(AwsRetryRules::Pre2026)
}

fn throttle() -> ModelError {
    error(Some("ThrottlingException"), 429)
}

/// AG2-10, AG2-11: full jitter, a base of 1 s or 0.05 s, never above 20 s.
#[test]
fn throttles_and_other_failures_wait_from_bases_of_their_own() {
    let other = error(None, 503);
    for (attempt, share, after_throttle, after_other) in [
        (1, 1.0, 1.0, 0.05),
        (2, 1.0, 2.0, 0.1),
        (3, 0.5, 2.0, 0.1),
        (5, 1.0, 16.0, 0.8),
        (9, 1.0, 20.0, 12.8),
        (10, 1.0, 20.0, 20.0),
        (10, 0.5, 10.0, 10.0),
        (60, 0.0, 0.0, 0.0),
    ] {
        let strategy = AwsRetryStrategy::standard().total_max_attempts(100);
        let delays = [&throttle(), &other].map(|error| delay(&strategy, error, attempt, share));

        assert_eq!(
            delays,
            [after_throttle, after_other].map(|s| Some(seconds(s)))
        );
    }
}

/// AG2-11.
#[test]
fn hint_of_aws_is_heeded_up_to_five_seconds_more() {
    for (share, hint, expected) in [
        (0.5, 100, 0.5),
        (0.5, 1_500, 1.5),
        (0.0, 1_500, 1.5),
        (0.5, 60_000, 5.5),
    ] {
        let throttle = throttle().with_aws_retry_after(millis(hint));
        let strategy = AwsRetryStrategy::standard();

        assert_eq!(
            delay(&strategy, &throttle, 1, share),
            Some(seconds(expected))
        );
        assert_eq!(
            delay(&pre_2026(), &throttle, 1, share),
            Some(seconds(share))
        );
    }
}

/// AG2-14, and the statuses beside them.
#[test]
fn codes_and_statuses_that_waiting_does_not_help_are_not_retried() {
    for (code, status) in [
        (Some("ValidationException"), 400),
        (Some("ServiceQuotaExceededException"), 400),
        (None, 401),
        (Some("AccessDeniedException"), 403),
        (Some("ExpiredTokenException"), 403),
        (Some("ResourceNotFoundException"), 404),
        (Some("ModelTimeoutException"), 408),
        (Some("ModelErrorException"), 424),
        (None, 501),
        (None, 529),
    ] {
        for strategy in [
            AwsRetryStrategy::legacy(),
            AwsRetryStrategy::standard(),
            AwsRetryStrategy::adaptive(),
        ] {
            let error = error(code, status);
            assert_eq!(delay(&strategy, &error, 1, 0.5), None, "{code:?} {status}");
            assert_eq!(strategy.quota().left(), 500);
        }
    }
}

#[test]
fn unknown_codes_of_429_are_throttles_since_2026_only() {
    for code in [None, Some("SomethingElse")] {
        let error = error(code, 429);
        assert_eq!(
            delay(&AwsRetryStrategy::standard(), &error, 1, 1.0),
            Some(secs(1))
        );
        assert_eq!(delay(&pre_2026(), &error, 1, 1.0), None);
    }
}

#[test]
fn errors_of_other_vendors_are_judged_by_their_kind() {
    let of = |kind, status, code: &str| {
        ModelError::new(kind, "x")
            .with_status(status)
            .with_code(code)
    };
    let after_throttle = Some(secs(1));
    let after_other = Some(millis(50));
    for (error, expected) in [
        (
            of(ModelErrorKind::Throttled, 429, "rate_limit_exceeded"),
            after_throttle,
        ),
        (
            of(ModelErrorKind::Throttled, 429, "RESOURCE_EXHAUSTED"),
            after_throttle,
        ),
        (
            of(ModelErrorKind::Overloaded, 529, "overloaded_error"),
            after_other,
        ),
        (
            of(ModelErrorKind::QuotaExhausted, 429, "insufficient_quota"),
            None,
        ),
        (of(ModelErrorKind::InvalidRequest, 500, "500"), None),
    ] {
        let strategy = AwsRetryStrategy::standard();
        assert_eq!(delay(&strategy, &error, 1, 1.0), expected, "{error:?}");
    }
}

#[test]
fn quota_of_a_day_is_not_retried_though_it_is_called_a_throttle() {
    let error = ModelError::new(ModelErrorKind::QuotaExhausted, "Too many tokens per day")
        .with_status(429)
        .with_code("ThrottlingException");
    for strategy in [AwsRetryStrategy::legacy(), AwsRetryStrategy::standard()] {
        assert_eq!(delay(&strategy, &error, 1, 0.5), None);
    }
}

/// Not as botocore, which leaves a stream to its caller once the answer has begun.
#[test]
fn failures_in_mid_stream_are_judged_by_their_kind() {
    let in_stream = |kind, code: &str| ModelError::new(kind, "x").with_status(200).with_code(code);
    for (error, expected) in [
        (
            in_stream(ModelErrorKind::Throttled, "throttlingException"),
            Some(secs(1)),
        ),
        (
            in_stream(ModelErrorKind::Server, "InternalFailure"),
            Some(millis(50)),
        ),
        (
            in_stream(ModelErrorKind::InvalidRequest, "validationException"),
            None,
        ),
        (exception("IncompleteReadError"), Some(millis(50))),
    ] {
        let strategy = AwsRetryStrategy::standard();
        assert_eq!(delay(&strategy, &error, 1, 1.0), expected, "{error:?}");
    }
}

/// AG2-2.
#[tokio::test(start_paused = true)]
async fn exactly_the_attempts_that_are_allowed_are_made() {
    for total in [1, 2, 5, 10] {
        for strategy in [
            AwsRetryStrategy::legacy(),
            AwsRetryStrategy::standard(),
            AwsRetryStrategy::adaptive(),
        ] {
            let made = run(
                &strategy.total_max_attempts(total),
                vec![reply("503"); total as usize + 1],
            )
            .await
            .unwrap();

            assert_eq!(made.calls, total as usize);
        }
    }
}

/// AG2-10: the mode alone is AWS's plain rules.
#[tokio::test(start_paused = true)]
async fn three_calls_are_made_where_nobody_said_how_many() {
    let made = run(
        &AwsRetryStrategy::standard(),
        replies("throttle throttle throttle throttle"),
    )
    .await
    .unwrap();

    assert_eq!(made.calls, 3);
    assert_eq!(made.delays(), [millis(500), secs(1)]);
    let expected = "gave up after 3 attempts, all that `total_max_attempts` allows";
    assert_eq!(made.gave_up(), Some(expected));
}

#[tokio::test(start_paused = true)]
async fn exponent_counts_all_attempts_whatever_failed() {
    let made = run(&AwsRetryStrategy::standard(), replies("503 throttle ok"))
        .await
        .unwrap();

    assert!(made.error.is_none());
    assert_eq!(made.delays(), [millis(25), secs(1)]);
}

#[tokio::test(start_paused = true)]
async fn exponent_counts_the_attempts_of_hooks_too() {
    let model = ScriptedModel::new(replies("503 503 ok"));
    let agent = agent(&model, &AwsRetryStrategy::standard())
        .on(|event: &mut AfterModelCallEvent| event.retry = event.attempt() == 1)
        .build()
        .unwrap();
    let chance = FixedChance::new(0.5);

    let made = crate::told(agent.prompt("?").on_runtime(&chance)).await;

    assert_eq!(made.delays(), [millis(50)]);
    assert_eq!(made.calls, 3);
}

#[tokio::test(start_paused = true)]
async fn only_the_hint_of_aws_counts() {
    let heeded = run(&AwsRetryStrategy::standard(), replies("throttle_ra ok"))
        .await
        .unwrap();
    let ignored = run(
        &AwsRetryStrategy::standard(),
        replies("throttle_http_ra ok"),
    )
    .await
    .unwrap();

    assert_eq!(heeded.waits, [(DecidedBy::Hint, millis(2_500))]);
    assert_eq!(ignored.waits, [(DecidedBy::Backoff, millis(500))]);
}

/// AG2-17.
#[tokio::test(start_paused = true)]
async fn error_that_stands_has_code_status_and_attempts() {
    let made = run(
        &AwsRetryStrategy::standard(),
        replies("throttle throttle throttle"),
    )
    .await
    .unwrap();

    let error = made.error.unwrap();
    assert_eq!(error.kind(), RunErrorKind::Model(ModelErrorKind::Throttled));
    let cause = error.model_error().unwrap();
    assert_eq!(
        (cause.code(), cause.status()),
        (Some("ThrottlingException"), Some(429))
    );
    assert_eq!(error.attempts(), 3);
}

/// AG2-18.
#[tokio::test(start_paused = true)]
async fn failure_then_success_leaves_one_message_of_each() {
    let model = ScriptedModel::new([
        Reply::text("Ye").then_fail(ModelErrorKind::Server),
        Reply::text("Yes."),
    ]);
    let agent = agent(&model, &AwsRetryStrategy::standard())
        .build()
        .unwrap();
    let mut conversation = agent.conversation();

    conversation.prompt("Umbrella?").await.unwrap();

    let texts: Vec<_> = conversation
        .history()
        .iter()
        .map(|message| message.text().into_owned())
        .collect();
    assert_eq!(texts, ["Umbrella?", "Yes."]);
}

/// AG2-27.
#[tokio::test(start_paused = true)]
async fn each_retry_is_told_with_attempt_code_and_delay() {
    let model = ScriptedModel::new(replies("throttle 503 ok"));
    let agent = agent(&model, &AwsRetryStrategy::standard())
        .build()
        .unwrap();
    let chance = FixedChance::new(0.5);
    let mut events = agent.prompt("?").on_runtime(&chance).stream();
    let mut seen = Vec::new();

    while let Some(event) = events.next().await {
        if let AgentEvent::EventLoopThrottle(event) = event {
            let code = event
                .error()
                .and_then(|error| error.code().map(str::to_owned));
            seen.push((event.attempt(), code, event.delay(), event.max_attempts()));
        }
    }

    let code = |code: &str| Some(code.to_owned());
    let expected = [
        (1, code("ThrottlingException"), millis(500), Some(3)),
        (2, code("ServiceUnavailableException"), millis(50), Some(3)),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn what_a_user_hook_claimed_is_left_alone() {
    for claimed_yes in [true, false] {
        let retries = AwsRetryStrategy::standard();
        let model = ScriptedModel::new(replies("503 ok"));
        let agent = agent(&model, &retries)
            .on(move |event: &mut AfterModelCallEvent| match event.error() {
                Some(_) if claimed_yes => event.retry_after(secs(9)),
                Some(_) => event.give_up(),
                None => {}
            })
            .build()
            .unwrap();

        let made = crate::told(agent.prompt("?")).await;

        if claimed_yes {
            assert_eq!(made.waits, [(DecidedBy::Hook, secs(9))]);
        } else {
            assert!(made.error.is_some());
        }
        assert_eq!(made.calls, 1 + usize::from(claimed_yes));
        assert_eq!(retries.quota().left(), 500, "nothing was drawn");
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_wait_makes_no_further_call() {
    let retries = AwsRetryStrategy::standard();
    let model = ScriptedModel::new(replies("throttle ok"));
    let agent = agent(&model, &retries).build().unwrap();
    let token = CancellationToken::new();
    let chance = FixedChance::new(0.5);
    let prompt = agent.prompt("?").cancel_on(token.clone());
    let mut run = prompt.on_runtime(&chance).stream();
    while let Some(event) = run.next().await {
        if matches!(event, AgentEvent::EventLoopThrottle(_)) {
            token.cancel();
        }
    }

    let result = run.result().await.unwrap();

    assert_eq!(result.stop_reason(), StopReason::Cancelled);
    assert_eq!(model.calls(), 1);
}

/// AG2-15: a timeout is one attempt's, and the waits are not in it.
#[tokio::test(start_paused = true)]
async fn timeout_is_of_each_attempt() {
    let model = ScriptedModel::always(Reply::hang());
    let chance = FixedChance::new(0.5);
    let retries = AwsRetryStrategy::standard().total_max_attempts(2);
    let agent = agent(&model, &retries)
        .first_byte_timeout(secs(1))
        .build()
        .unwrap();
    let began = Instant::now();

    let error = agent.prompt("?").on_runtime(&chance).await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Model(ModelErrorKind::Timeout));
    assert_eq!(began.elapsed(), secs(2) + millis(25));
}

#[tokio::test(start_paused = true)]
async fn what_was_drawn_before_a_crash_is_given_back_after_it() {
    let retries = AwsRetryStrategy::standard();
    let model = ScriptedModel::new(replies("503 ok"));
    let agent = agent(&model, &retries).build().unwrap();
    let journal = Journal::new();
    // The start, the beginning and the first attempt are recorded, then the process dies in the wait.
    let dying = JournalRuntime::new(&journal).stop_after(3);
    agent.prompt("?").on_runtime(&dying).await.unwrap_err();
    let drawn = 500 - retries.quota().left();

    let again = JournalRuntime::new(&journal);
    agent.prompt("?").on_runtime(&again).await.unwrap();

    assert_eq!((drawn, retries.quota().left()), (14, 500));
    assert_eq!(model.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn replay_draws_nothing_again() {
    let retries = AwsRetryStrategy::standard();
    let model = ScriptedModel::new(replies("503 503 ok"));
    let agent = agent(&model, &retries).build().unwrap();
    let journal = Journal::new();
    let first = JournalRuntime::new(&journal);
    let first = agent.prompt("?").on_runtime(&first).await.unwrap();
    let left = retries.quota().left();

    let again = JournalRuntime::new(&journal);
    let again = agent.prompt("?").on_runtime(&again).await.unwrap();

    assert_eq!(again.summary(), first.summary());
    assert_eq!((retries.quota().left(), left), (486, 486));
}
