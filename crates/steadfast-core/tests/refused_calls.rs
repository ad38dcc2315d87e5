//! Calls that a hook refuses: who decides about the error, what is asked and held before a call is made.

mod support;

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use steadfast_core::{
    AfterModelCallEvent, Agent, AttemptDiscardedEvent, BeforeModelCallEvent, Fallback, ModelError,
    ModelErrorKind as Kind, NoopRetryStrategy, RunErrorKind, secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};
use support::told;
use tokio::time::{Instant, sleep};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn refusal(kind: Kind) -> ModelError {
    ModelError::new(kind, "refused by a hook").with_code("closed")
}

/// Refuses the first attempts of a turn.
fn refuse(attempts: u32, error: ModelError) -> impl Fn(&mut BeforeModelCallEvent) + Send + Sync {
    move |event| {
        if event.attempt() <= attempts {
            event.fail_with(error.clone());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refused_attempt_is_retried_as_if_the_model_had_said_it() -> TestResult {
    let model = ScriptedModel::new([Reply::text("yes")]);
    let hint = refusal(Kind::Overloaded).with_retry_after(secs(30));
    let agent = Agent::builder()
        .model(model.clone())
        .on(refuse(1, hint))
        .build()?;

    let told = told(agent.prompt("?")).await;

    let expected = [
        "run",
        "user: ?",
        "attempt 1.1",
        "1.1 discarded ModelError",
        "1.1 waits 30s by Hint",
        "+30s",
        "attempt 1.2",
        "1.2 says yes",
        "assistant: yes",
        "result EndTurn",
    ];
    assert_eq!(told.trace(), expected);
    assert_eq!((told.outcome?.attempts(), model.calls()), (2, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn refusal_that_no_retry_mends_ends_the_run_with_its_own_error() -> TestResult {
    let model = ScriptedModel::new([]);
    let agent = Agent::builder()
        .model(model.clone())
        .on(refuse(9, refusal(Kind::TooLarge)))
        .on(|event: &mut AfterModelCallEvent| {
            assert_eq!(event.error().and_then(ModelError::code), Some("closed"));
        })
        .on(|event: &mut AttemptDiscardedEvent| {
            assert_eq!(event.error().and_then(ModelError::code), Some("closed"));
        })
        .build()?;

    let error = agent.prompt("?").await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Model(Kind::TooLarge));
    assert!(
        error.to_string().ends_with(": refused by a hook"),
        "{error}"
    );
    assert_eq!(model.calls(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn refused_model_of_a_fallback_has_the_next_one_called() -> TestResult {
    let (first, second) = (ScriptedModel::new([]), [Reply::text("yes")]);
    let agent = Agent::builder()
        .model(Fallback::new(first.clone()).then(ScriptedModel::new(second)))
        .retry_strategy(NoopRetryStrategy)
        .on(refuse(1, refusal(Kind::Overloaded)))
        .build()?;
    let began = Instant::now();

    let answer = agent.prompt("?").await?;

    assert_eq!((answer.text(), answer.attempts()), ("yes", 2));
    assert_eq!((first.calls(), began.elapsed()), (0, secs(0)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn first_refusal_stands_and_an_answer_has_the_last_word() -> TestResult {
    let builder = || {
        Agent::builder()
            .model(ScriptedModel::new([]))
            .retry_strategy(NoopRetryStrategy)
            .on(refuse(1, refusal(Kind::Overloaded)))
            .on(refuse(1, refusal(Kind::Auth)))
    };
    let error = builder().build()?.prompt("?").await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Model(Kind::Overloaded));

    let cached = builder()
        .on(|event: &mut BeforeModelCallEvent| event.cancel = Some("from the cache".into()))
        .build()?;

    assert_eq!(cached.prompt("?").await?.text(), "from the cache");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn refused_call_waits_for_nothing_and_asks_nobody() -> TestResult {
    let agent = Agent::builder()
        .model(ScriptedModel::new([]))
        .retry_strategy(NoopRetryStrategy)
        .on(|event: &mut BeforeModelCallEvent| {
            event.wait_for(secs(60), pending::<()>());
            event.admit_if(|_| -> Result<(), ModelError> { panic!("asked") });
            event.fail_with(refusal(Kind::Overloaded));
        })
        .build()?;
    let began = Instant::now();

    let failed = agent.prompt("?").await;

    assert!(failed.is_err());
    assert_eq!(began.elapsed(), secs(0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn admission_is_asked_when_the_waits_are_over() -> TestResult {
    let model = ScriptedModel::new([]);
    let began = Instant::now();
    let agent = Agent::builder()
        .model(model.clone())
        .retry_strategy(NoopRetryStrategy)
        .on(move |event: &mut BeforeModelCallEvent| {
            event.admit_if(move |_| {
                assert_eq!(began.elapsed(), secs(5));
                Err::<(), _>(refusal(Kind::Overloaded))
            });
            event.wait_for(secs(5), sleep(secs(5)));
        })
        .build()?;

    let told = told(agent.prompt("?")).await;

    assert!(told.trace().contains(&"1.1 waits 5s by Pacer".to_owned()));
    let error = told.outcome.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Model(Kind::Overloaded));
    assert_eq!(model.calls(), 0);
    Ok(())
}

/// Counts how many of it there are.
struct Place(Arc<AtomicU32>);

impl Place {
    fn take(places: &Arc<AtomicU32>) -> Self {
        places.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(places))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn what_admissions_and_waits_give_is_held_until_the_attempt_has_ended() -> TestResult {
    let places = Arc::new(AtomicU32::new(0));
    let (given, seen) = (Arc::clone(&places), Arc::clone(&places));
    let late = Arc::clone(&places);
    let agent = Agent::builder()
        .model(ScriptedModel::new([
            Reply::fail(Kind::Server),
            Reply::text("yes"),
        ]))
        .on(move |event: &mut BeforeModelCallEvent| {
            let admitted = Arc::clone(&given);
            event.admit_if(move |_| Ok(Place::take(&admitted)));
            let waited = Arc::clone(&given);
            event.wait_for(secs(0), async move { Place::take(&waited) });
        })
        .on(move |_: &mut AfterModelCallEvent| assert_eq!(seen.load(Ordering::Relaxed), 2))
        .on(move |_: &mut AttemptDiscardedEvent| assert_eq!(late.load(Ordering::Relaxed), 2))
        .build()?;

    agent.prompt("?").await?;

    assert_eq!(places.load(Ordering::Relaxed), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn permits_are_taken_by_type_and_by_owner_the_latest_first() -> TestResult {
    #[derive(Debug, PartialEq)]
    struct Ticket(&'static str, u32);
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::text("yes")]))
        .on(|event: &mut BeforeModelCallEvent| {
            for ticket in [Ticket("a", 1), Ticket("b", 2), Ticket("a", 3)] {
                event.wait_for(secs(0), std::future::ready(ticket));
            }
        })
        .on(|event: &mut AfterModelCallEvent| {
            assert_eq!(event.take_permit(|_: &u8| true), None);
            let mut take = |owner| event.take_permit(|ticket: &Ticket| ticket.0 == owner);
            assert_eq!(take("a"), Some(Ticket("a", 3)));
            assert_eq!(take("a"), Some(Ticket("a", 1)));
            assert_eq!(take("a"), None);
            assert_eq!(take("b"), Some(Ticket("b", 2)));
        })
        .build()?;

    agent.prompt("?").await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn admission_that_refuses_gives_back_what_others_gave() -> TestResult {
    let places = Arc::new(AtomicU32::new(0));
    let given = Arc::clone(&places);
    let agent = Agent::builder()
        .model(ScriptedModel::new([]))
        .retry_strategy(NoopRetryStrategy)
        .on(move |event: &mut BeforeModelCallEvent| {
            let given = Arc::clone(&given);
            event.admit_if(move |_| Ok(Place::take(&given)));
            event.admit_if(|_| Err::<(), _>(refusal(Kind::Overloaded)));
        })
        .build()?;

    let failed = agent.prompt("?").await;

    assert!(failed.is_err());
    assert_eq!(places.load(Ordering::Relaxed), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn replay_of_a_refused_attempt_asks_nobody_again() -> TestResult {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::text("yes")]))
        .on(move |event: &mut BeforeModelCallEvent| {
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                event.fail_with(refusal(Kind::Overloaded));
            }
        })
        .build()?;
    let journal = Journal::new();
    let runtime = JournalRuntime::new(&journal);
    let first = agent.prompt("?").on_runtime(&runtime).await?;

    let runtime = JournalRuntime::new(&journal);
    let again = agent.prompt("?").on_runtime(&runtime).await?;

    assert_eq!(again.summary(), first.summary());
    assert_eq!((again.attempts(), asked.load(Ordering::Relaxed)), (2, 2));
    Ok(())
}
