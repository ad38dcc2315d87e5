//! The hard cap on the attempts of a turn: what its error says. That it holds is shown with the hooks that
//! run into it.

use steadfast_core::{
    AfterModelCallEvent, Agent, BeforeModelCallEvent, ModelError, ModelErrorKind,
    testing::{Reply, ScriptedModel},
};

#[tokio::test(start_paused = true)]
async fn hard_cap_says_what_the_last_attempt_failed_with() {
    let throttled = ModelError::new(ModelErrorKind::Throttled, "slow down, sk-abcdef123456");
    let model = ScriptedModel::new([
        Reply::fail(ModelErrorKind::Server),
        Reply::error(throttled.clone()),
        Reply::text("no"),
    ]);
    let agent = Agent::builder()
        .model(model)
        .on(|event: &mut AfterModelCallEvent| event.retry = true)
        .on(|event: &mut BeforeModelCallEvent| {
            // It counts as an attempt, though nothing was called.
            if event.attempt() == 1 {
                event.fail_with(ModelError::new(ModelErrorKind::Overloaded, "not now"));
            }
        });

    let error = agent
        .max_attempts_per_turn(3)
        .build()
        .unwrap()
        .prompt("?")
        .await
        .unwrap_err();

    let expected =
        format!("3 attempts in one turn are the hard cap, and the last one failed: {throttled}");
    assert_eq!(error.to_string(), expected);
    assert!(expected.ends_with("slow down, ***"), "{expected}");
    // So whoever prints the sources too does not print it twice.
    assert!(std::error::Error::source(&error).is_none());
    assert_eq!(error.model_error(), Some(&throttled));
}

#[tokio::test(start_paused = true)]
async fn hard_cap_says_that_a_hook_retried_an_answer() {
    let agent = Agent::builder()
        .model(ScriptedModel::always(Reply::text("no")))
        .on(|event: &mut AfterModelCallEvent| event.retry = true)
        .max_attempts_per_turn(2)
        .build()
        .unwrap();

    let error = agent.prompt("?").await.unwrap_err();

    let expected = "2 attempts in one turn are the hard cap, and a hook retried the last one";
    assert_eq!(error.to_string(), expected);
}
