//! Hooks that retry, refuse to, or meet the strategy: who wins, who waits, what is seen.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use steadfast_core::{
    AfterModelCallEvent, Agent, AgentBuilder, EventLoopThrottleEvent, HookProvider, HookRegistry,
    ModelError, ModelErrorKind, ModelRetryStrategy, NoopRetryStrategy, RunErrorKind, Usage, millis,
    secs,
    testing::{Reply, ScriptedModel},
};
use support::{Told, message_line, told};

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

/// Strands 22, 29, 55.
#[tokio::test(start_paused = true)]
async fn hook_that_sets_retry_has_the_model_called_again_at_once() {
    // ST-4.
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

/// Strands 55: whichever strategy declared it.
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

/// Strands 28, 58.
#[tokio::test(start_paused = true)]
async fn hook_may_retry_an_answer_it_does_not_like() {
    let replies = [
        Reply::text("no").with_usage(Usage::new(10, 5)),
        Reply::text("Take one.").with_usage(Usage::new(10, 5)),
    ];
    let asked = Arc::new(AtomicUsize::new(0));
    let asking = Arc::clone(&asked);
    let agent = builder(replies)
        .on(move |event: &mut AfterModelCallEvent| {
            asking.fetch_add(1, Ordering::Relaxed);
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
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let kept = conversation.history().iter();
    let kept: Vec<_> = kept.map(|message| message_line(message)).collect();
    assert_eq!(kept, ["user: ?", "assistant: Take one."]);
}

/// Strands 30.
#[tokio::test(start_paused = true)]
async fn hook_that_never_retries_is_asked_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let asking = Arc::clone(&asked);
    let model = ScriptedModel::new([Reply::text("no"), Reply::text("Take one.")]);
    let agent = Agent::builder()
        .model(model.clone())
        .on(move |_: &mut AfterModelCallEvent| {
            asking.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();

    let result = told(agent.prompt("?")).await.outcome.unwrap();

    assert_eq!(result.text(), "no");
    assert_eq!((asked.load(Ordering::Relaxed), model.calls()), (1, 1));
}

/// Strands 31.
#[tokio::test(start_paused = true)]
async fn hook_with_its_own_limit_leaves_the_last_error() {
    let failure = |nth| ModelError::new(ModelErrorKind::Protocol, format!("failure {nth}"));
    let agent = builder((1..=4).map(|nth| Reply::error(failure(nth))))
        .on(retry_below(3))
        .build()
        .unwrap();

    let error = told(agent.prompt("?")).await.outcome.unwrap_err();

    assert_eq!(error.attempts(), 3);
    assert_eq!(error.kind(), RunErrorKind::Model(ModelErrorKind::Protocol));
    assert_eq!(error.model_error(), Some(&failure(3)));
}

/// Strands 32.
#[tokio::test(start_paused = true)]
async fn two_hooks_that_retry_make_one_retry() {
    let agent = builder([odd(), Reply::text("Yes.")])
        .on(retry_below(3))
        .on(retry_below(3))
        .build()
        .unwrap();

    let result = told(agent.prompt("?")).await.outcome.unwrap();

    assert_eq!(result.attempts(), 2);
}

/// Strands 33: After hooks are asked in reverse, so the one registered first has the last word.
#[tokio::test(start_paused = true)]
async fn last_writer_wins() {
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

    let once = [
        "attempt 1.1",
        "1.1 discarded ModelError",
        "force_stop protocol",
    ];
    assert_eq!(refused, once);
    assert_eq!(retried.last().unwrap(), "result EndTurn");
}

/// Strands 35.
#[tokio::test(start_paused = true)]
async fn retries_of_hooks_do_not_lengthen_the_backoff() {
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

    let expected = [
        "1.2 waits 4s by Backoff",
        "+4s",
        "1.3 waits 8s by Backoff",
        "+8s",
        "result EndTurn",
    ];
    assert_eq!(told, expected);
}

/// The waits of a run, declared and then passed, and its end.
async fn waits(builder: AgentBuilder) -> Vec<String> {
    let trace = trace(builder).await.into_iter();
    let waits = trace.filter(|line| {
        line.starts_with('+') || line.contains(" waits ") || line.starts_with("result ")
    });
    waits.collect()
}

/// Strands 12, 36.
#[tokio::test(start_paused = true)]
async fn strategy_leaves_alone_what_a_hook_claimed() {
    let replies = [
        Reply::throttled(),
        Reply::throttled(),
        Reply::throttled(),
        Reply::text("Yes."),
    ];

    let waits = waits(builder(replies).on(retry_below(2))).await;

    let expected = [
        "1.2 waits 4s by Backoff",
        "+4s",
        "1.3 waits 8s by Backoff",
        "+8s",
        "result EndTurn",
    ];
    assert_eq!(waits, expected);
}

/// Strands 37: the turn goes on, and with it its counts.
#[tokio::test(start_paused = true)]
async fn discarded_answer_does_not_reset_the_backoff() {
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
        "+4s",
        "1.2 waits 8s by Backoff",
        "+8s",
        "1.4 waits 16s by Backoff",
        "+16s",
        "result EndTurn",
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

/// Strands 39: no throttle event without a retry; a changed delay is the one that is shown.
#[tokio::test(start_paused = true)]
async fn hook_asked_after_the_strategy_may_overrule_it() {
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
    let expected = ["1.1 waits 40s by Hook", "+40s", "result EndTurn"];
    assert_eq!(changed, expected);
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

/// Strands 42.
#[tokio::test(start_paused = true)]
async fn hook_that_retries_for_ever_is_stopped_by_the_hard_cap() {
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

/// Strands 55.
#[tokio::test(start_paused = true)]
async fn hook_provider_takes_the_strategys_place() {
    let replies = [
        Reply::throttled(),
        odd(),
        Reply::throttled(),
        Reply::text("Yes."),
    ];

    let waits = waits(builder(replies).retry_strategy(Patient).on(retry_below(2))).await;

    let expected = [
        "1.2 waits 1s by Hook",
        "+1s",
        "1.3 waits 1s by Hook",
        "+1s",
        "result EndTurn",
    ];
    assert_eq!(waits, expected);
}

/// Strands 54.
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
