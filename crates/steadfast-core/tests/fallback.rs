//! A list of models as one: who is called, for how long a model is left out, who is told.

mod support;

use steadfast_core::{
    AfterModelCallEvent, Agent, AgentResult, AwsRetryStrategy, BeforeModelCallEvent, Fallback,
    FleetRetryStrategy, ModelError, ModelErrorKind as Kind, ModelRetryStrategy, NoopRetryStrategy,
    RunError, RunErrorKind, millis, secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};
use support::told;
use tokio::time::{Instant, advance};

fn named(name: &'static str, replies: impl IntoIterator<Item = Reply>) -> ScriptedModel {
    ScriptedModel::new(replies).named(name)
}

/// Prompts, and tells the attempts of the run, its waits and its switches of models.
async fn attempts(agent: &Agent) -> (Vec<String>, Result<AgentResult, RunError>) {
    let told = told(agent.prompt("?")).await;
    let mut lines = told.trace();
    lines.retain(|line| line.starts_with("attempt ") || line.starts_with("1."));
    (lines, told.outcome)
}

#[tokio::test(start_paused = true)]
async fn error_of_one_model_goes_on_to_the_next_at_once() {
    // AG2-26, and issue "every provider", line 7.
    for kind in [
        Kind::QuotaExhausted,
        Kind::Overloaded,
        Kind::Server,
        Kind::Network,
        Kind::Timeout,
        Kind::Truncated,
        Kind::Auth,
        Kind::NotFound,
    ] {
        let first = named("a", [Reply::fail(kind)]);
        let second = named("b", [Reply::text("yes")]);
        let models = Fallback::new(first).then(second);
        let agent = Agent::builder().model(models).build().unwrap();
        let began = Instant::now();

        let (lines, answer) = attempts(&agent).await;

        assert_eq!(answer.unwrap().attempts(), 2);
        assert_eq!(began.elapsed(), secs(0), "{kind:?}");
        let expected = [
            "attempt 1.1",
            "1.1 discarded ModelError",
            "attempt 1.2",
            "1.2 from a to b",
            "1.2 says yes",
        ];
        assert_eq!(lines, expected, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn error_of_the_request_stands() {
    for kind in [
        Kind::InvalidRequest,
        Kind::ContextOverflow,
        Kind::TooLarge,
        Kind::ContentFiltered,
        Kind::Unsupported,
        Kind::Protocol,
    ] {
        let second = named("b", [Reply::text("never")]);
        let models = Fallback::new(named("a", [Reply::fail(kind)])).then(second.clone());
        let agent = Agent::builder().model(models).build().unwrap();

        let error = agent.prompt("?").await.unwrap_err();

        assert_eq!(error.kind(), RunErrorKind::Model(kind));
        assert_eq!(second.calls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_at_once_of_the_same_model_is_no_move() {
    // The fleet waits in its line, and not behind the attempt.
    let first = named("a", [Reply::throttled(), Reply::fail(Kind::QuotaExhausted)]);
    let agent = Agent::builder()
        .model(Fallback::new(first).then(named("b", [Reply::text("yes")])))
        .retry_strategy(FleetRetryStrategy::new().seed(1))
        .build()
        .unwrap();
    assert_eq!(agent.prompt("?").await.unwrap().text(), "yes");

    let first = named("a", [Reply::text(""), Reply::fail(Kind::QuotaExhausted)]);
    let agent = Agent::builder()
        .model(Fallback::new(first).then(named("b", [Reply::text("yes")])))
        .retry_strategy(NoopRetryStrategy)
        .on(|event: &mut AfterModelCallEvent| {
            event.retry = event.response().is_some_and(|answer| answer.is_blank());
        })
        .build()
        .unwrap();
    assert_eq!(agent.prompt("?").await.unwrap().text(), "yes");
}

#[tokio::test(start_paused = true)]
async fn fleet_goes_through_the_list_once_in_a_turn() {
    let failing = |name| {
        named(
            name,
            [Kind::Throttled, Kind::Auth, Kind::Auth].map(Reply::fail),
        )
    };
    let agent = Agent::builder()
        .model(Fallback::new(failing("a")).then(failing("b")))
        .retry_strategy(FleetRetryStrategy::new().seed(1))
        .build()
        .unwrap();

    let (lines, error) = attempts(&agent).await;

    let switched: Vec<_> = lines.iter().filter(|line| line.contains("from")).collect();
    assert_eq!(switched, ["1.3 from a to b"]);
    assert_eq!(error.unwrap_err().kind(), RunErrorKind::Model(Kind::Auth));
}

#[tokio::test(start_paused = true)]
async fn move_is_recorded_with_its_attempt() {
    let journal = Journal::new();
    let agent = || {
        let failing = |name| named(name, [Reply::fail(Kind::Server), Reply::fail(Kind::Server)]);
        Agent::builder()
            .model(Fallback::new(failing("a")).then(failing("b")))
            .retry_strategy(NoopRetryStrategy)
            .build()
            .unwrap()
    };
    let runtime = JournalRuntime::new(&journal);
    let error = agent().prompt("?").on_runtime(&runtime).await.unwrap_err();
    assert_eq!(error.attempts(), 2);

    // Start, beginning and first attempt; the list of another process knows nothing of it.
    let runtime = JournalRuntime::new(&journal.prefix(3));
    let error = agent().prompt("?").on_runtime(&runtime).await.unwrap_err();

    assert_eq!(error.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn throttled_model_is_waited_for_until_the_strategy_gives_up() {
    let first = named("a", [Reply::throttled(), Reply::throttled()]);
    let second = named("b", [Reply::text("yes")]);
    let agent = Agent::builder()
        .model(Fallback::new(first).then(second))
        .retry_strategy(ModelRetryStrategy::new().max_attempts(2))
        .build()
        .unwrap();

    let (lines, _) = attempts(&agent).await;

    let expected = [
        "attempt 1.1",
        "1.1 discarded ModelError",
        "1.1 waits 4s by Backoff",
        "attempt 1.2",
        "1.2 discarded ModelError",
        "attempt 1.3",
        "1.3 from a to b",
        "1.3 says yes",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn what_a_broken_answer_said_is_taken_back() {
    let broken = Reply::text("half").then_fail(Kind::Server);
    let models = Fallback::new(named("a", [broken])).then(named("b", [Reply::text("whole")]));
    let agent = Agent::builder()
        .model(models)
        .retry_strategy(NoopRetryStrategy)
        .build()
        .unwrap();

    let (lines, _) = attempts(&agent).await;

    let expected = [
        "attempt 1.1",
        "1.1 says half",
        "1.1 discarded ModelError",
        "attempt 1.2",
        "1.2 from a to b",
        "1.2 says whole",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn model_is_left_out_for_its_time_and_comes_back_with_an_answer() {
    let first = named(
        "a",
        [
            Reply::fail(Kind::Server),
            Reply::fail(Kind::Server),
            Reply::text("a"),
            Reply::text("a"),
        ],
    );
    let second = named("b", (0..4).map(|_| Reply::text("b")));
    let models = Fallback::new(first.clone()).then(second);
    let agent = Agent::builder().model(models).build().unwrap();
    let mut said = Vec::new();

    for pause in [0, 59, 1, 59, 1, 0] {
        advance(secs(pause)).await;
        let (lines, answer) = attempts(&agent).await;
        let switches = lines.iter().filter(|line| line.ends_with("from a to b"));
        said.push((answer.unwrap().text().to_owned(), switches.count()));
    }

    // It fails at first, and again when it is tried after a minute; a minute later it answers.
    let expected = [("b", 1), ("b", 1), ("b", 1), ("b", 1), ("a", 0), ("a", 0)];
    assert_eq!(
        said,
        expected.map(|(text, switches)| (text.to_owned(), switches))
    );
    assert_eq!(first.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn server_that_asks_for_longer_is_left_out_for_longer() {
    let overloaded = ModelError::new(Kind::Overloaded, "").with_retry_after(secs(90));
    let first = named("a", [Reply::error(overloaded), Reply::text("a")]);
    let second = named("b", (0..2).map(|_| Reply::text("b")));
    let models = Fallback::new(first).then(second).set_aside_for(millis(10));
    let agent = Agent::builder().model(models).build().unwrap();
    let mut said = Vec::new();

    for pause in [0, 89, 1] {
        advance(secs(pause)).await;
        said.push(agent.prompt("?").await.unwrap().text().to_owned());
    }

    assert_eq!(said, ["b", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn one_call_tries_a_model_that_may_be_back() {
    let slow = Reply::text("a").after(secs(5));
    let first = named("a", [Reply::fail(Kind::Server), slow]);
    let second = named("b", (0..9).map(|_| Reply::text("b")));
    let models = Fallback::new(first.clone()).then(second);
    let agent = Agent::builder().model(models).build().unwrap();
    agent.prompt("?").await.unwrap();
    advance(secs(60)).await;

    let many: Vec<_> = (0..8).map(|_| agent.prompt("?").spawn()).collect();
    let mut said = Vec::new();
    for run in many {
        said.push(run.await.unwrap().text().to_owned());
    }

    said.sort();
    assert_eq!(said, ["a", "b", "b", "b", "b", "b", "b", "b"]);
    assert_eq!(first.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn list_that_is_used_up_ends_with_the_last_error() {
    let models = Fallback::new(named("a", [Reply::fail(Kind::QuotaExhausted)]))
        .then(named("b", [Reply::fail(Kind::Auth)]))
        .set_aside_for(secs(0));
    let agent = Agent::builder().model(models).build().unwrap();

    let error = agent.prompt("?").await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Model(Kind::Auth));
    assert_eq!(error.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn hook_that_claims_the_attempt_is_respected() {
    let models = || {
        let first = named("a", [Reply::fail(Kind::Server), Reply::text("a")]);
        Fallback::new(first).then(named("b", [Reply::text("b")]))
    };
    let gives_up = Agent::builder()
        .model(models())
        .on(|event: &mut AfterModelCallEvent| event.give_up())
        .build()
        .unwrap();
    let waits = Agent::builder()
        .model(models())
        .on(|event: &mut AfterModelCallEvent| {
            if event.error().is_some() {
                event.retry_after(secs(1));
            }
        })
        .build()
        .unwrap();

    assert!(gives_up.prompt("?").await.is_err());
    let (lines, _) = attempts(&waits).await;

    let expected = [
        "attempt 1.1",
        "1.1 discarded ModelError",
        "1.1 waits 1s by Hook",
        "attempt 1.2",
        "1.2 from a to b",
        "1.2 says b",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn hook_may_have_an_attempt_call_another_model() {
    let other = named("other", [Reply::text("other")]);
    let agent = Agent::builder()
        .model(named("own", [Reply::text(""), Reply::text("own")]))
        .on(move |event: &mut BeforeModelCallEvent| {
            assert_eq!(event.model(), "own");
            if event.attempt() == 2 {
                event.use_model(other.clone());
            }
        })
        .on(|event: &mut AfterModelCallEvent| {
            assert_eq!(event.model() == "other", event.attempt() == 2);
            event.retry = event.attempt() < 3;
        })
        .build()
        .unwrap();

    let (lines, _) = attempts(&agent).await;

    let expected = [
        "attempt 1.1",
        "1.1 discarded RetriedByHook",
        "attempt 1.2",
        "1.2 from own to other",
        "1.2 says other",
        "1.2 discarded RetriedByHook",
        "attempt 1.3",
        "1.3 from other to own",
        "1.3 says own",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn agents_of_one_list_learn_from_each_other() {
    let first = named("a", [Reply::fail(Kind::QuotaExhausted)]);
    let second = named("b", (0..2).map(|_| Reply::text("b")));
    let models = Fallback::new(first.clone()).then(second);
    let agents = [(); 2].map(|()| Agent::builder().model(models.clone()).build().unwrap());

    for agent in &agents {
        assert_eq!(agent.prompt("?").await.unwrap().text(), "b");
    }

    assert_eq!(first.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn turn_goes_through_the_list_once_however_long_calls_take() {
    // Each call takes longer than a model is left out.
    let hangs = || ScriptedModel::always(Reply::hang());
    let models = Fallback::new(hangs()).then(hangs());
    let agent = Agent::builder().model(models).build().unwrap();

    let error = agent.prompt("?").await.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Model(Kind::Timeout));
    assert_eq!(error.attempts(), 6);
}

#[tokio::test(start_paused = true)]
async fn going_on_takes_nothing_from_a_quota() {
    let retries = AwsRetryStrategy::standard();
    let models = Fallback::new(named("a", [Reply::fail(Kind::Server)]))
        .then(named("b", [Reply::text("yes")]));
    let agent = Agent::builder()
        .model(models)
        .retry_strategy(retries.clone())
        .build()
        .unwrap();

    assert_eq!(agent.prompt("?").await.unwrap().text(), "yes");

    assert_eq!(retries.quota().left(), 500);
}

#[tokio::test(start_paused = true)]
async fn wait_that_the_deadline_forbids_goes_to_the_next_model() {
    let first = named("a", [Reply::throttled_for(secs(30))]);
    let models = Fallback::new(first).then(named("b", [Reply::text("yes")]));
    let agent = Agent::builder()
        .model(models)
        .deadline(secs(10))
        .build()
        .unwrap();

    assert_eq!(agent.prompt("?").await.unwrap().text(), "yes");
}

#[tokio::test(start_paused = true)]
async fn answer_of_a_hook_brings_no_model_back() {
    let first = named("a", [Reply::fail(Kind::QuotaExhausted)]);
    let second = named("b", (0..2).map(|_| Reply::text("b")));
    let models = Fallback::new(first.clone()).then(second);
    let agent = Agent::builder()
        .model(models)
        .on(|event: &mut BeforeModelCallEvent| {
            if event
                .history()
                .last()
                .is_some_and(|message| message.text() == "cached")
            {
                event.cancel = Some("cached".to_owned());
            }
        })
        .build()
        .unwrap();

    for prompt in ["?", "cached", "?"] {
        assert!(agent.prompt(prompt).await.is_ok());
    }

    assert_eq!(first.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn shorter_failure_does_not_shorten_a_longer_one() {
    let exhausted = ModelError::new(Kind::QuotaExhausted, "").with_retry_after(secs(3_600));
    let first = named(
        "a",
        [
            Reply::error(exhausted).after(secs(1)),
            Reply::fail(Kind::Server).after(secs(2)),
        ],
    );
    let second = named("b", (0..3).map(|_| Reply::text("b")));
    let agent = Agent::builder()
        .model(Fallback::new(first.clone()).then(second))
        .build()
        .unwrap();
    let runs = [(); 2].map(|()| agent.prompt("?").spawn());
    for run in runs {
        run.await.unwrap();
    }

    advance(secs(120)).await;
    assert_eq!(agent.prompt("?").await.unwrap().text(), "b");

    assert_eq!(first.calls(), 2);
}
