//! The retry strategy at work: which failures it retries, how often, and what a viewer sees of it.

mod support;

use std::{sync::Arc, time::Duration};

use steadfast_core::{
    AfterModelCallEvent, Agent, AgentBuilder, AwsRetryStrategy, HookProvider, HookRegistry,
    ModelDelta, ModelError, ModelErrorKind, ModelRetryStrategy, NoopRetryStrategy, RetryStrategy,
    RunErrorKind, StopReason, Usage, secs,
    testing::{Reply, ScriptedModel},
};
use support::{Told, message_line, told};

fn builder(replies: impl IntoIterator<Item = Reply>) -> AgentBuilder {
    Agent::builder().model(ScriptedModel::new(replies))
}

/// Runs a prompt of an agent with this strategy against these replies.
async fn run(
    strategy: impl HookProvider,
    replies: impl IntoIterator<Item = Reply>,
) -> Option<Told> {
    let agent = builder(replies).retry_strategy(strategy).build();
    Some(told(agent.ok()?.prompt("?")).await)
}

/// The waits of a run as its viewer saw them: declared, then passed.
fn waits(told: &Told) -> Vec<String> {
    let trace = told.trace().into_iter();
    let is_wait = |line: &String| line.starts_with('+') || line.contains(" waits ");
    trace.filter(is_wait).collect()
}

fn throttles(count: usize) -> impl Iterator<Item = Reply> {
    std::iter::repeat_with(Reply::throttled).take(count)
}

/// Strands 4, 53, 54.
#[tokio::test(start_paused = true)]
async fn default_strategy_waits_4_8_16_32_64_and_stops_once() {
    // ST-1, ST-5.
    let told = run(ModelRetryStrategy::new(), throttles(7)).await.unwrap();

    let expected = [
        "run",
        "user: ?",
        "attempt 1.1",
        "1.1 discarded ModelError",
        "1.1 waits 4s by Backoff",
        "+4s",
        "attempt 1.2",
        "1.2 discarded ModelError",
        "1.2 waits 8s by Backoff",
        "+8s",
        "attempt 1.3",
        "1.3 discarded ModelError",
        "1.3 waits 16s by Backoff",
        "+16s",
        "attempt 1.4",
        "1.4 discarded ModelError",
        "1.4 waits 32s by Backoff",
        "+32s",
        "attempt 1.5",
        "1.5 discarded ModelError",
        "1.5 waits 64s by Backoff",
        "+64s",
        "attempt 1.6",
        "1.6 discarded ModelError",
        "force_stop throttled",
    ];
    assert_eq!(told.trace(), expected);
    assert_eq!(told.outcome.unwrap_err().attempts(), 6);
}

/// Strands 24.
#[tokio::test(start_paused = true)]
async fn agent_without_a_strategy_has_the_default_one() {
    let agent = builder(throttles(2).chain([Reply::text("Yes.")]))
        .build()
        .unwrap();

    let told = told(agent.prompt("?")).await;

    let expected = [
        "1.1 waits 4s by Backoff",
        "+4s",
        "1.2 waits 8s by Backoff",
        "+8s",
    ];
    assert_eq!(waits(&told), expected);
    let result = told.outcome.unwrap();
    assert_eq!(result.stop_reason(), StopReason::EndTurn);
    assert_eq!(
        (result.attempts(), result.waited(), result.duration()),
        (3, secs(12), secs(12))
    );
}

/// Strands 19.
#[tokio::test(start_paused = true)]
async fn agent_without_a_strategy_gives_up_when_the_default_one_does() {
    let without = builder(throttles(7)).build().unwrap();

    let without = told(without.prompt("?")).await;
    let default = run(ModelRetryStrategy::new(), throttles(7)).await.unwrap();

    assert_eq!(without.trace(), default.trace());
    assert_eq!(without.outcome.unwrap_err().attempts(), 6);
}

/// Strands 7, 25.
#[tokio::test(start_paused = true)]
async fn two_attempts_make_one_wait() {
    let strategy = ModelRetryStrategy::new()
        .max_attempts(2)
        .initial_delay(secs(1));

    let told = run(strategy, throttles(3)).await.unwrap();

    let expected = [
        "run",
        "user: ?",
        "attempt 1.1",
        "1.1 discarded ModelError",
        "1.1 waits 1s by Backoff",
        "+1s",
        "attempt 1.2",
        "1.2 discarded ModelError",
        "force_stop throttled",
    ];
    assert_eq!(told.trace(), expected);
    let kind = told.outcome.unwrap_err().kind();
    assert_eq!(kind, RunErrorKind::Model(ModelErrorKind::Throttled));
}

#[tokio::test(start_paused = true)]
async fn three_attempts_from_two_seconds_wait_two_and_four() {
    // ST-2.
    let strategy = ModelRetryStrategy::new()
        .max_attempts(3)
        .initial_delay(secs(2))
        .max_delay(secs(60));

    let told = run(strategy, throttles(4)).await.unwrap();

    let expected = [
        "1.1 waits 2s by Backoff",
        "+2s",
        "1.2 waits 4s by Backoff",
        "+4s",
    ];
    assert_eq!(waits(&told), expected);
    assert_eq!(told.outcome.unwrap_err().attempts(), 3);
}

/// AG2-19.
#[tokio::test(start_paused = true)]
async fn request_says_which_call_of_how_many_it_is() {
    async fn asked(retry: impl HookProvider) -> Vec<(u32, Option<u32>)> {
        let model = ScriptedModel::new([Reply::throttled(), Reply::text("Hi")]);
        let agent = Agent::builder().model(model.clone()).retry_strategy(retry);
        told(agent.build().unwrap().prompt("?")).await;
        let requests = model.requests();
        let numbers = requests
            .iter()
            .map(|request| (request.attempt(), request.max_attempts()));
        numbers.collect()
    }

    let three = ModelRetryStrategy::new().max_attempts(3);
    assert_eq!(asked(three).await, [(1, Some(3)), (2, Some(3))]);
    let aws = AwsRetryStrategy::standard().total_max_attempts(7);
    assert_eq!(asked(aws).await, [(1, Some(7)), (2, Some(7))]);
    assert_eq!(asked(NoopRetryStrategy).await, [(1, Some(1))]);
    let mut own = HookRegistry::new();
    own.on(|event: &mut AfterModelCallEvent| event.retry = event.attempt() == 1);
    assert_eq!(asked(own).await, [(1, None), (2, None)]);
}

/// Strands 20, 21, 22.
#[tokio::test(start_paused = true)]
async fn noop_strategy_and_one_attempt_call_once() {
    // ST-3.
    let expected = [
        "run",
        "user: ?",
        "attempt 1.1",
        "1.1 discarded ModelError",
        "force_stop throttled",
    ];

    let noop = run(NoopRetryStrategy, throttles(2)).await.unwrap();
    let one = run(ModelRetryStrategy::new().max_attempts(1), throttles(2))
        .await
        .unwrap();

    assert_eq!(noop.trace(), expected);
    assert_eq!(one.trace(), expected);
}

/// Strands 11, 59.
#[tokio::test(start_paused = true)]
async fn what_is_not_transient_ends_at_once_with_its_kind() {
    for kind in [
        ModelErrorKind::Auth,
        ModelErrorKind::ContextOverflow,
        ModelErrorKind::QuotaExhausted,
    ] {
        let told = run(ModelRetryStrategy::new(), [Reply::fail(kind)])
            .await
            .unwrap();

        assert_eq!(waits(&told), [""; 0]);
        assert_eq!(told.outcome.unwrap_err().kind(), RunErrorKind::Model(kind));
    }
}

#[tokio::test(start_paused = true)]
async fn every_transient_kind_is_retried() {
    for kind in [
        ModelErrorKind::Throttled,
        ModelErrorKind::Overloaded,
        ModelErrorKind::Server,
        ModelErrorKind::Network,
        ModelErrorKind::Timeout,
        ModelErrorKind::Truncated,
    ] {
        let replies = [Reply::fail(kind), Reply::text("Yes.")];

        let told = run(ModelRetryStrategy::new(), replies).await.unwrap();

        assert_eq!(waits(&told), ["1.1 waits 4s by Backoff", "+4s"], "{kind:?}");
        assert_eq!(told.outcome.unwrap().text(), "Yes.");
    }
}

/// Strands 14: same delays, same throttle event.
#[tokio::test(start_paused = true)]
async fn predicate_chooses_what_is_retried() {
    let strategy = ModelRetryStrategy::new().retry_if(|error| error.code() == Some("odd"));
    let odd = || Reply::error(ModelError::new(ModelErrorKind::Protocol, "").with_code("odd"));

    let told = run(strategy, [odd(), odd(), Reply::throttled()])
        .await
        .unwrap();

    let expected = [
        "1.1 waits 4s by Backoff",
        "+4s",
        "1.2 waits 8s by Backoff",
        "+8s",
    ];
    assert_eq!(waits(&told), expected);
    let kind = told.outcome.unwrap_err().kind();
    assert_eq!(kind, RunErrorKind::Model(ModelErrorKind::Throttled));
}

/// Strands 38.
#[tokio::test(start_paused = true)]
async fn backoff_begins_anew_in_every_turn() {
    let call = Reply::tool_call("nobody", serde_json::json!({}));
    let replies = throttles(3).chain([call]).chain(throttles(2));

    let told = run(
        ModelRetryStrategy::new(),
        replies.chain([Reply::text("Yes.")]),
    )
    .await
    .unwrap();

    let expected = [
        "1.1 waits 4s by Backoff",
        "+4s",
        "1.2 waits 8s by Backoff",
        "+8s",
        "1.3 waits 16s by Backoff",
        "+16s",
        "2.1 waits 4s by Backoff",
        "+4s",
        "2.2 waits 8s by Backoff",
        "+8s",
    ];
    assert_eq!(waits(&told), expected);
    assert_eq!(told.outcome.unwrap().text(), "Yes.");
}

/// Strands 38, 60: one force stop, in whatever turn.
#[tokio::test(start_paused = true)]
async fn every_turn_has_a_budget_of_its_own() {
    let call = Reply::tool_call("nobody", serde_json::json!({}));
    let replies = throttles(2).chain([call]).chain(throttles(3));

    let told = run(ModelRetryStrategy::new().max_attempts(3), replies)
        .await
        .unwrap();

    let expected = [
        "1.1 waits 4s by Backoff",
        "+4s",
        "1.2 waits 8s by Backoff",
        "+8s",
        "2.1 waits 4s by Backoff",
        "+4s",
        "2.2 waits 8s by Backoff",
        "+8s",
    ];
    assert_eq!(waits(&told), expected);
    let kind = told.outcome.unwrap_err().kind();
    assert_eq!(kind, RunErrorKind::Model(ModelErrorKind::Throttled));
}

/// Strands 56.
#[tokio::test(start_paused = true)]
async fn partial_output_is_taken_back_before_the_wait() {
    let replies = [
        Reply::text("Once upon").then_fail(ModelErrorKind::Overloaded),
        Reply::text("Once").then_cut(),
        Reply::text("Once upon a time."),
    ];

    let told = run(ModelRetryStrategy::new(), replies).await.unwrap();

    let expected = [
        "attempt 1.1",
        "1.1 says Once upon",
        "1.1 discarded ModelError",
        "1.1 waits 4s by Backoff",
        "+4s",
        "attempt 1.2",
        "1.2 says Once",
        "1.2 discarded ModelError",
        "1.2 waits 8s by Backoff",
        "+8s",
        "attempt 1.3",
        "1.3 says Once upon a time.",
        "assistant: Once upon a time.",
        "result EndTurn",
    ];
    assert_eq!(told.trace()[2..], expected);
    let result = told.outcome.unwrap();
    let kept: Vec<_> = result.messages().iter().map(|m| message_line(m)).collect();
    assert_eq!(kept, ["user: ?", "assistant: Once upon a time."]);
}

/// Strands 58.
#[tokio::test(start_paused = true)]
async fn usage_counts_all_attempts() {
    let cost = || Usage::new(10, 5);
    let replies = [
        Reply::text("half").with_usage(cost()).then_cut(),
        Reply::text("Yes.").with_usage(cost()),
    ];

    let told = run(ModelRetryStrategy::new(), replies).await.unwrap();

    let result = told.outcome.unwrap();
    assert_eq!(result.usage(), Usage::new(20, 10));
}

#[tokio::test(start_paused = true)]
async fn zero_delay_does_not_sleep() {
    let strategy = ModelRetryStrategy::new().initial_delay(Duration::ZERO);

    let told = run(strategy, throttles(5).chain([Reply::text("Yes.")]))
        .await
        .unwrap();

    assert!(!told.trace().iter().any(|line| line.starts_with('+')));
    let result = told.outcome.unwrap();
    assert_eq!((result.attempts(), result.waited()), (6, Duration::ZERO));
}

/// Strands 27: nothing is shared between their runs.
#[tokio::test(start_paused = true)]
async fn one_strategy_serves_a_thousand_agents_at_once() {
    let strategy: Arc<dyn RetryStrategy> = Arc::new(ModelRetryStrategy::new().max_attempts(3));
    let runs: Vec<_> = (0..1_000)
        .map(|_| {
            builder(throttles(2).chain([Reply::text("Yes.")]))
                .retry_strategy(Arc::clone(&strategy))
                .build()
                .unwrap()
                .prompt("?")
                .spawn()
        })
        .collect();

    for run in runs {
        let result = run.await.unwrap();
        assert_eq!((result.waited(), result.duration()), (secs(12), secs(12)));
    }
}

#[tokio::test(start_paused = true)]
async fn answer_without_end_marker_is_truncated_and_retried() {
    let said = [
        ModelDelta::Text("Yes".into()),
        ModelDelta::Usage(Usage::new(1, 1)),
    ];
    let replies = [Reply::deltas([]), Reply::deltas(said), Reply::text("Yes.")];

    let told = run(ModelRetryStrategy::new(), replies).await.unwrap();

    let result = told.outcome.unwrap();
    assert_eq!(
        (result.attempts(), result.stop_reason()),
        (3, StopReason::EndTurn)
    );
}

/// Strands 58: also the time that a discarded attempt took.
#[tokio::test(start_paused = true)]
async fn duration_counts_all_attempts() {
    let replies = [
        Reply::text("half").then_cut().after(secs(3)),
        Reply::text("Yes.").after(secs(5)),
    ];

    let told = run(ModelRetryStrategy::new(), replies).await.unwrap();

    let result = told.outcome.unwrap();
    assert_eq!(
        (result.duration(), result.waited()),
        (secs(3 + 4 + 5), secs(4))
    );
}

/// Strands 41: after an error and after an answer.
#[tokio::test(start_paused = true)]
async fn retried_call_asks_the_same_again() {
    let model = ScriptedModel::new([
        Reply::throttled(),
        Reply::text("no"),
        Reply::fail(ModelErrorKind::Protocol),
        Reply::text("Take one."),
    ]);
    let agent = Agent::builder()
        .model(model.clone())
        .on(|event: &mut AfterModelCallEvent| {
            let refused = event.response().is_some_and(|r| r.text() == "no");
            let odd = event.error().is_some_and(|error| !error.is_transient());
            event.retry = refused || odd;
        })
        .build()
        .unwrap();
    let mut conversation = agent.conversation();

    let result = told(conversation.prompt("Umbrella?"))
        .await
        .outcome
        .unwrap();

    assert_eq!((result.text(), model.calls()), ("Take one.", 4));
    for request in model.requests() {
        let asked = request.history().iter();
        let asked: Vec<_> = asked.map(|message| message_line(message)).collect();
        assert_eq!(asked, ["user: Umbrella?"]);
    }
    assert_eq!(conversation.history().len(), 2);
}
