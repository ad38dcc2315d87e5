//! Hooks that retry, refuse to, or meet the strategy: who wins, who waits, what is seen.

mod support;

use std::time::Duration;

use steadfast_core::{
    AfterModelCallEvent, Agent, AgentBuilder, EventLoopThrottleEvent, HookProvider, HookRegistry,
    ModelErrorKind, ModelRetryStrategy, NoopRetryStrategy, RunErrorKind, Usage, millis, secs,
    testing::{Reply, ScriptedModel},
};
use support::{Told, told};

fn builder(replies: impl IntoIterator<Item = Reply>) -> AgentBuilder {
    Agent::builder().model(ScriptedModel::new(replies))
}

fn odd() -> Reply {
    Reply::fail(ModelErrorKind::Protocol)
}

/// Streams one prompt and returns what follows it in the trace.
async fn trace(builder: AgentBuilder) -> Vec<String> {
    match builder.build() {
        Ok(agent) => told(agent.prompt("?")).await.trace().split_off(2),
        Err(error) => vec![error.to_string()],
    }
}

/// Retries whatever failed, at once, below an attempt number.
fn retry_below(attempt: u32) -> impl Fn(&mut AfterModelCallEvent) + Send + Sync + 'static {
    move |event| {
        if event.error().is_some() && event.attempt() < attempt {
            event.retry = true;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hook_that_sets_retry_has_the_model_called_again_at_once() {
    // ST-4; scenarios 22, 29, 41.
    let model = ScriptedModel::new([odd(), Reply::text("Yes.")]);
    let agent = Agent::builder()
        .model(model.clone())
        .retry_strategy(NoopRetryStrategy)
        .on(retry_below(3))
        .build()
        .unwrap();

    let told = told(agent.prompt("?")).await;

    let expected = [
        "attempt 1.1",
        "1.1 discarded ModelError",
        "attempt 1.2",
        "1.2 says Yes.",
        "assistant: Yes.",
        "result EndTurn",
    ];
    assert_eq!(told.trace()[2..], expected);
    assert!(
        model
            .requests()
            .iter()
            .all(|request| request.history().len() == 1)
    );
}

#[tokio::test(start_paused = true)]
async fn hook_that_retries_after_a_wait_has_it_shown_and_waited() {
    // ST-5: whichever strategy declared it.
    let hook = |event: &mut AfterModelCallEvent| {
        if event.error().is_some() {
            event.retry_after(millis(2_500));
        }
    };

    let trace = trace(builder([odd(), Reply::text("Yes.")]).on(hook)).await;

    let expected = [
        "1.1 discarded ModelError",
        "1.1 waits 2.5s by Hook",
        "+2.5s",
        "attempt 1.2",
    ];
    assert_eq!(trace[1..5], expected);
}

#[tokio::test(start_paused = true)]
async fn hook_may_retry_an_answer_it_does_not_like() {
    // Scenarios 28, 30, 58.
    let replies = [
        Reply::text("no").with_usage(Usage::new(10, 5)),
        Reply::text("Take one.").with_usage(Usage::new(10, 5)),
    ];
    let agent = builder(replies)
        .on(|event: &mut AfterModelCallEvent| {
            event.retry = event
                .response()
                .is_some_and(|response| response.text().len() < 5);
        })
        .build()
        .unwrap();
    let mut conversation = agent.conversation();

    let told = told(conversation.prompt("?")).await;

    let expected = [
        "attempt 1.1",
        "1.1 says no",
        "1.1 discarded RetriedByHook",
        "attempt 1.2",
        "1.2 says Take one.",
        "assistant: Take one.",
        "result EndTurn",
    ];
    assert_eq!(told.trace()[2..], expected);
    assert_eq!(told.outcome.unwrap().usage(), Usage::new(20, 10));
    assert_eq!(conversation.history().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn hook_with_its_own_limit_leaves_the_last_error() {
    // Scenario 31.
    let agent = builder([odd(), odd(), odd(), odd()])
        .on(retry_below(3))
        .build()
        .unwrap();

    let error = told(agent.prompt("?")).await.outcome.unwrap_err();

    assert_eq!(error.attempts(), 3);
    assert_eq!(error.kind(), RunErrorKind::Model(ModelErrorKind::Protocol));
}

#[tokio::test(start_paused = true)]
async fn two_hooks_that_retry_make_one_retry() {
    // Scenario 32.
    let agent = builder([odd(), Reply::text("Yes.")])
        .on(retry_below(3))
        .on(retry_below(3))
        .build()
        .unwrap();

    let result = told(agent.prompt("?")).await.outcome.unwrap();

    assert_eq!(result.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn last_writer_wins() {
    // Scenario 33: After hooks are asked in reverse, so the one registered first has the last word.
    let disable = |event: &mut AfterModelCallEvent| event.retry = false;

    let refused = trace(
        builder([odd(), Reply::text("Yes.")])
            .on(disable)
            .on(retry_below(3)),
    )
    .await;
    let retried = trace(
        builder([odd(), Reply::text("Yes.")])
            .on(retry_below(3))
            .on(disable),
    )
    .await;

    assert_eq!(refused.last().unwrap(), "force_stop protocol");
    assert_eq!(retried.last().unwrap(), "result EndTurn");
}

#[tokio::test(start_paused = true)]
async fn retries_of_hooks_do_not_lengthen_the_backoff() {
    // Scenario 35.
    let replies = [
        odd(),
        Reply::throttled(),
        Reply::throttled(),
        Reply::text("Yes."),
    ];

    let told = waits(builder(replies).on(|event: &mut AfterModelCallEvent| {
        if event
            .error()
            .is_some_and(|error| error.kind() == ModelErrorKind::Protocol)
        {
            event.retry = true;
        }
    }))
    .await;

    assert_eq!(told, ["1.2 waits 4s by Backoff", "1.3 waits 8s by Backoff"]);
}

async fn waits(builder: AgentBuilder) -> Vec<String> {
    let trace = trace(builder).await;
    let waits = trace.into_iter().filter(|line| line.contains(" waits "));
    waits.collect()
}

#[tokio::test(start_paused = true)]
async fn strategy_leaves_alone_what_a_hook_claimed() {
    // Scenarios 12, 36.
    let replies = [
        Reply::throttled(),
        Reply::throttled(),
        Reply::throttled(),
        Reply::text("Yes."),
    ];

    let waits = waits(builder(replies).on(retry_below(2))).await;

    assert_eq!(
        waits,
        ["1.2 waits 4s by Backoff", "1.3 waits 8s by Backoff"]
    );
}

#[tokio::test(start_paused = true)]
async fn discarded_answer_does_not_reset_the_backoff() {
    // Scenario 37: the turn goes on, and with it its counts.
    let replies = [
        Reply::throttled(),
        Reply::throttled(),
        Reply::text("no"),
        Reply::throttled(),
        Reply::text("Take one."),
    ];

    let waits = waits(builder(replies).on(|event: &mut AfterModelCallEvent| {
        event.retry = event
            .response()
            .is_some_and(|response| response.text() == "no");
    }))
    .await;

    let expected = [
        "1.1 waits 4s by Backoff",
        "1.2 waits 8s by Backoff",
        "1.4 waits 16s by Backoff",
    ];
    assert_eq!(waits, expected);
}

#[tokio::test(start_paused = true)]
async fn giving_up_is_a_no_that_the_strategy_respects() {
    let trace = trace(
        builder([Reply::throttled(), Reply::text("Yes.")])
            .on(|event: &mut AfterModelCallEvent| event.give_up()),
    )
    .await;

    let expected = [
        "attempt 1.1",
        "1.1 discarded ModelError",
        "force_stop throttled",
    ];
    assert_eq!(trace, expected);
}

#[tokio::test(start_paused = true)]
async fn hook_asked_after_the_strategy_may_overrule_it() {
    // Scenario 39: no throttle event without a retry; a changed delay is the one that is shown.
    let last = |hook: fn(&mut AfterModelCallEvent)| {
        let mut hooks = HookRegistry::new();
        hooks.order(100).on(hook);
        builder([Reply::throttled(), Reply::text("Yes.")]).hooks(hooks)
    };

    let refused = trace(last(|event| event.retry = false)).await;
    let changed = waits(last(|event| {
        if let Some(delay) = event.delay() {
            event.retry_after(delay * 10);
        }
    }))
    .await;

    assert_eq!(
        refused,
        [
            "attempt 1.1",
            "1.1 discarded ModelError",
            "force_stop throttled"
        ]
    );
    assert_eq!(changed, ["1.1 waits 40s by Hook"]);
}

#[tokio::test(start_paused = true)]
async fn cleared_retry_clears_its_delay() {
    // Asked in the order of the numbers: declared, cleared, set again without a delay.
    let mut hooks = HookRegistry::new();
    hooks
        .order(1)
        .on(|event: &mut AfterModelCallEvent| event.retry_after(secs(9)));
    hooks
        .order(2)
        .on(|event: &mut AfterModelCallEvent| event.retry = false);
    hooks
        .order(3)
        .on(|event: &mut AfterModelCallEvent| event.retry = event.attempt() < 2);
    let replies = [Reply::text("no"), Reply::text("Yes.")];

    let trace = trace(builder(replies).hooks(hooks)).await;

    let expected = [
        "attempt 1.1",
        "1.1 says no",
        "1.1 discarded RetriedByHook",
        "attempt 1.2",
    ];
    assert_eq!(trace[..4], expected);
}

#[tokio::test(start_paused = true)]
async fn hook_that_retries_for_ever_is_stopped_by_the_hard_cap() {
    // Scenario 42.
    let forever = |event: &mut AfterModelCallEvent| event.retry = true;
    for (replies, cap) in [(Reply::text("no"), None), (odd(), None), (odd(), Some(7))] {
        let fails = replies.clone();
        let model = ScriptedModel::always(fails);
        let mut builder = Agent::builder().model(model.clone()).on(forever);
        if let Some(cap) = cap {
            builder = builder.max_attempts_per_turn(cap);
        }

        let error = told(builder.build().unwrap().prompt("?"))
            .await
            .outcome
            .unwrap_err();

        assert_eq!(error.kind(), RunErrorKind::AttemptCap);
        let calls = cap.unwrap_or(100);
        assert_eq!((model.calls(), error.attempts()), (calls as usize, calls));
    }
}

/// Raw hooks in the place of a strategy, as the seed allows.
struct Patient;

impl HookProvider for Patient {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        hooks.on(|event: &mut AfterModelCallEvent| {
            if !event.is_claimed() && event.error().is_some() {
                event.retry_after(secs(1));
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn hook_provider_takes_the_strategys_place() {
    let replies = [
        Reply::throttled(),
        odd(),
        Reply::throttled(),
        Reply::text("Yes."),
    ];

    let waits = waits(builder(replies).retry_strategy(Patient).on(retry_below(2))).await;

    assert_eq!(waits, ["1.2 waits 1s by Hook", "1.3 waits 1s by Hook"]);
}

#[tokio::test(start_paused = true)]
async fn throttle_hook_is_asked_before_the_wait_with_all_it_needs() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let began = tokio::time::Instant::now();
    let strategy = ModelRetryStrategy::new().max_attempts(3);
    let agent = builder([Reply::throttled_for(secs(7)), Reply::text("Yes.")])
        .retry_strategy(strategy)
        .on(move |event: &mut EventLoopThrottleEvent| {
            let status = event.error().and_then(|error| error.status());
            let seen = (
                began.elapsed(),
                event.attempt(),
                event.max_attempts(),
                event.delay(),
                status,
            );
            sender.send(seen)
        })
        .build()
        .unwrap();

    agent.prompt("?").await.unwrap();

    let seen: Vec<_> = receiver.try_iter().collect();
    assert_eq!(seen, [(Duration::ZERO, 1, Some(3), secs(7), Some(429))]);
}

#[tokio::test(start_paused = true)]
async fn slow_throttle_hook_does_not_lengthen_the_wait() {
    // Nothing waits longer than it must: the wait is counted from when it was declared.
    let agent = builder([Reply::throttled(), Reply::text("Yes.")])
        .on_async(|_: &mut EventLoopThrottleEvent| Box::pin(tokio::time::sleep(secs(3))))
        .build()
        .unwrap();

    let Told { outcome, .. } = told(agent.prompt("?")).await;

    assert_eq!(outcome.unwrap().duration(), secs(4));
}
