//! How long a model may be silent: before its answer, within it, and what does not count.

mod support;

use steadfast_core::{
    AfterModelCallEvent, Agent, AgentBuilder, AgentEvent, Hedge, HookRegistry,
    ModelCallAcceptedEvent, ModelDelta, ModelErrorKind, ModelRetryStrategy, RunErrorKind,
    StopReason, secs,
    testing::{Reply, ScriptedModel},
};
use support::told;

fn builder(replies: impl IntoIterator<Item = Reply>) -> AgentBuilder {
    Agent::builder()
        .model(ScriptedModel::new(replies))
        .retry_strategy(ModelRetryStrategy::new().max_attempts(1))
}

/// Runs one reply; returns how the trace ends and what the error says.
async fn check(builder: AgentBuilder) -> (Vec<String>, String) {
    let Ok(agent) = builder.build() else {
        return Default::default();
    };
    let told = told(agent.prompt("?")).await;
    let trace = told.trace();
    let problem = told.outcome.map(|result| result.text().to_owned());
    (trace, problem.unwrap_or_else(|error| error.to_string()))
}

#[tokio::test(start_paused = true)]
async fn complete_answer_stands_although_the_server_does_not_hang_up() {
    let said = [
        ModelDelta::Text("Yes.".into()),
        ModelDelta::Stop(StopReason::EndTurn),
    ];
    let model = ScriptedModel::new([Reply::deltas(said).and_hang()]);
    let agent = Agent::builder().model(model.clone()).build().unwrap();

    let answer = agent.prompt("Umbrella?").await.unwrap();

    assert_eq!((answer.text(), model.calls()), ("Yes.", 1));
}

#[tokio::test(start_paused = true)]
async fn model_may_be_silent_for_120_seconds_by_default() {
    let (trace, problem) = check(builder([Reply::hang()])).await;
    let (patient, _) = check(builder([Reply::text("Yes.").after(secs(119))])).await;

    let expected = [
        "attempt 1.1",
        "+120s",
        "1.1 discarded ModelError",
        "force_stop timeout",
    ];
    assert_eq!(trace[2..], expected);
    assert_eq!(
        problem,
        "the model did not answer in time: no answer within 120s"
    );
    assert_eq!(patient.last().unwrap(), "result EndTurn");
}

#[tokio::test(start_paused = true)]
async fn model_may_be_silent_within_its_answer_for_the_idle_timeout() {
    let quick = |reply| {
        builder([reply])
            .first_byte_timeout(secs(10))
            .idle_timeout(secs(3))
    };
    let started = ModelDelta::Started { request_id: None };

    let (in_text, said) = check(quick(Reply::text("half").then_hang())).await;
    let (at_start, problem) = check(quick(Reply::hang().preceded_by(started))).await;

    let expected = [
        "attempt 1.1",
        "1.1 says half",
        "+3s",
        "1.1 discarded ModelError",
        "force_stop timeout",
    ];
    assert_eq!(in_text[2..], expected);
    let expected = [
        "attempt 1.1",
        "+3s",
        "1.1 discarded ModelError",
        "force_stop timeout",
    ];
    assert_eq!(at_start[2..], expected);
    assert_eq!(
        said,
        "the model did not answer in time: the stream was silent for 3s"
    );
    assert_eq!(problem, said);
}

#[tokio::test(start_paused = true)]
async fn timeout_is_transient() {
    let agent = Agent::builder()
        .model(ScriptedModel::new([Reply::hang(), Reply::text("Yes.")]))
        .first_byte_timeout(secs(10))
        .build()
        .unwrap();

    let result = told(agent.prompt("?")).await.outcome.unwrap();

    assert_eq!((result.attempts(), result.duration()), (2, secs(14)));
}

#[tokio::test(start_paused = true)]
async fn slow_viewer_is_not_a_silent_model() {
    let words = (0..100).map(|n| ModelDelta::Text(format!("{n} ")));
    let reply = Reply::deltas(words.chain([ModelDelta::Stop(StopReason::EndTurn)]));
    let agent = builder([reply])
        .first_byte_timeout(secs(1))
        .idle_timeout(secs(1))
        .build()
        .unwrap();

    let mut events = agent.prompt("?").stream();
    while let Some(event) = events.next().await {
        if let AgentEvent::TextDelta(_) = event {
            tokio::time::sleep(secs(10)).await;
        }
    }

    assert!(events.result().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn hook_that_looks_at_the_answer_is_not_a_silent_model() {
    let agent = builder([Reply::text("Yes.")])
        .hooks(slow_hook())
        .build()
        .unwrap();

    assert_eq!(agent.prompt("?").await.unwrap().text(), "Yes.");
}

/// Looks at an answer for longer than a model may be silent.
fn slow_hook() -> HookRegistry {
    let mut hooks = HookRegistry::new();
    hooks.on_async(|_: &mut AfterModelCallEvent| Box::pin(tokio::time::sleep(secs(121))));
    hooks
}

#[tokio::test(start_paused = true)]
async fn hook_that_looks_at_an_accepted_call_is_not_a_silent_model() {
    let slow = |reply: Reply| {
        builder([reply]).on_async(|_: &mut ModelCallAcceptedEvent| {
            Box::pin(async { tokio::time::sleep(secs(300)).await })
        })
    };

    let (patient, _) = check(slow(Reply::text("Yes.").after(secs(119)))).await;
    let (hedged, _) =
        check(slow(Reply::text("Yes.").after(secs(119))).hooks(Hedge::after(secs(900)))).await;
    let (silent, _) = check(slow(Reply::hang())).await;

    assert_eq!(patient.last().unwrap(), "result EndTurn");
    assert_eq!(hedged.last().unwrap(), "result EndTurn");
    assert_eq!(
        silent[3..],
        ["+420s", "1.1 discarded ModelError", "force_stop timeout"]
    );
}

#[tokio::test(start_paused = true)]
async fn whole_call_has_no_timeout() {
    // A delta every 100 s for a day.
    let model = Trickle;
    let agent = Agent::builder().model(model).build().unwrap();

    let result = agent.prompt("?").await.unwrap();

    assert_eq!(result.duration(), secs(86_400));
}

/// Says a word every 100 s.
struct Trickle;

#[steadfast_core::async_trait]
impl steadfast_core::Model for Trickle {
    fn name(&self) -> &'static str {
        "trickle"
    }

    async fn stream(
        &self,
        _request: steadfast_core::ModelRequest,
    ) -> Result<steadfast_core::ModelStream, steadfast_core::ModelError> {
        let words = futures_util::stream::unfold(0, |words| async move {
            let delta = match words {
                0..864 => {
                    tokio::time::sleep(secs(100)).await;
                    ModelDelta::Text("word ".into())
                }
                864 => ModelDelta::Stop(StopReason::EndTurn),
                _ => return None,
            };
            Some((Ok(delta), words + 1))
        });
        Ok(steadfast_core::ModelStream::new(words))
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_is_not_a_timeout() {
    let agent = builder([Reply::hang()]).deadline(secs(5)).build().unwrap();

    let error = told(agent.prompt("?")).await.outcome.unwrap_err();

    assert_eq!(error.kind(), RunErrorKind::Deadline);
    assert_ne!(error.kind(), RunErrorKind::Model(ModelErrorKind::Timeout));
    assert_eq!(error.to_string(), "the run's deadline of 5s passed");
}

#[tokio::test(start_paused = true)]
async fn answer_that_breaks_off_keeps_its_identity() {
    let began = || {
        let request_id = Some("req_7".to_owned());
        Reply::deltas([ModelDelta::Started { request_id }])
    };
    for reply in [began(), began().then_hang()] {
        let agent = builder([reply]).build().unwrap();

        let error = agent.prompt("?").await.unwrap_err();

        let model_error = error.model_error().unwrap();
        assert_eq!(model_error.request_id(), Some("req_7"), "{model_error}");
    }
}
