//! What is stored of a run: failures, outcomes, and the run itself, which goes on where it stopped.

mod support;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use futures_core::future::BoxFuture;
use serde_json::{Value, json};
use steadfast_core::{
    AfterInvocationEvent, AfterToolCallEvent, Agent, ConfigError, FunctionTool, HookError,
    NoopRetryStrategy, Run, Runtime, Step, StepName, StepOutcome, Stopped, TokioRuntime, ToolError,
    ToolUse, secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};
use support::told;

/// Two tools and three retries: 15 records. Returns the agent, its model and how often tools ran.
fn eventful() -> Option<(Agent, ScriptedModel, Arc<AtomicUsize>)> {
    let model = ScriptedModel::new([
        Reply::throttled(),
        Reply::text("half").then_cut(),
        Reply::throttled_for(secs(20)),
        Reply::tool_calls([("look", json!({})), ("listen", json!({}))]),
        Reply::text("Rain."),
    ]);
    let tools = Arc::new(AtomicUsize::new(0));
    let tool = |name: &str| {
        let tools = Arc::clone(&tools);
        FunctionTool::new(name, "", move |_: Value| {
            tools.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, ToolError>("done") }
        })
    };
    let builder = Agent::builder().model(model.clone());
    let agent = builder.tool(tool("look")).tool(tool("listen")).build();
    Some((agent.ok()?, model, tools))
}

#[tokio::test(start_paused = true)]
async fn failed_run_replays_to_the_same_failure() {
    let journal = Journal::new();
    let agent = |replies: Vec<Reply>| {
        let builder = Agent::builder().model(ScriptedModel::new(replies));
        builder.retry_strategy(NoopRetryStrategy).build().unwrap()
    };
    let runtime = JournalRuntime::new(&journal);
    let first = agent(vec![Reply::throttled_for(secs(7))])
        .prompt("?")
        .on_runtime(&runtime)
        .await;
    let first = first.unwrap_err();

    for records in 3..=journal.names().len() {
        let runtime = JournalRuntime::new(&journal.prefix(records));
        let again = agent(vec![])
            .prompt("?")
            .on_runtime(&runtime)
            .await
            .unwrap_err();

        assert_eq!(again.failure(), first.failure());
        assert_eq!(again.run(), first.run());
    }
}

#[tokio::test(start_paused = true)]
async fn failure_of_one_tool_beside_others_replays_to_the_same_run() {
    // The other call is cut short and recorded later, but its record is met first in a replay.
    let journal = Journal::new();
    let calls = [("slow", json!({})), ("nobody", json!({}))];
    let agent = |replies: Vec<Reply>| {
        let slow = FunctionTool::new("slow", "", |_: Value| async {
            tokio::time::sleep(secs(5)).await;
            Ok::<_, ToolError>("at last")
        });
        let failed = AtomicUsize::new(0);
        Agent::builder()
            .model(ScriptedModel::new(replies))
            .tool(slow)
            .on(move |event: &mut AfterToolCallEvent| {
                let fails = event.tool_use().name == "nobody" && !event.result.text().is_empty();
                match failed.fetch_add(usize::from(fails), Ordering::Relaxed) {
                    0 if fails => Err(HookError::new("boom")),
                    _ => Ok(()),
                }
            })
            .build()
            .unwrap()
    };
    let runtime = JournalRuntime::new(&journal);
    let first = agent(vec![Reply::tool_calls(calls), Reply::text("Done.")]);
    let error = first.prompt("?").on_runtime(&runtime).await.unwrap_err();

    let runtime = JournalRuntime::new(&journal);
    let again = agent(vec![])
        .prompt("?")
        .on_runtime(&runtime)
        .await
        .unwrap_err();

    assert_eq!(again.failure(), error.failure());
    assert_eq!(again.run(), error.run());
    let resumed = told(first.resume(again.into_run())).await;
    assert_eq!(resumed.outcome.unwrap().text(), "Done.");
}

#[tokio::test(start_paused = true)]
async fn stored_run_loads_back_equal_and_goes_on() {
    for records in 1..15 {
        let (agent, model, tools) = eventful().unwrap();
        let stopping = Keeping::until(records);
        let stopped = agent.prompt("Weather?").on_runtime(&stopping).await;
        let run = stopped.unwrap_err().into_run();

        let stored = serde_json::to_string(&run).unwrap();
        let loaded: Run = serde_json::from_str(&stored).unwrap();
        assert_eq!(loaded, run);
        let result = told(agent.resume(loaded)).await.outcome.unwrap();

        assert_eq!(
            (result.text(), result.attempts(), result.turns()),
            ("Rain.", 5, 2)
        );
        let done = (model.calls(), tools.load(Ordering::Relaxed));
        assert_eq!(done, (5, 2), "stored after {records}");
    }
}

#[tokio::test(start_paused = true)]
async fn arguments_of_a_tool_load_back_to_the_last_bit() {
    let random = TokioRuntime::seeded(1);
    for _ in 0..1_000 {
        let number = f64::from_bits(random.random());
        if number.is_finite() {
            let call = ToolUse::new("call_1", "look", json!({"number": number}));

            let stored = serde_json::to_string(&call).unwrap();

            assert_eq!(serde_json::from_str::<ToolUse>(&stored).unwrap(), call);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn run_stored_before_its_end_still_has_that_end() {
    // A stored run means that its next step has not happened yet: here, to tell how it ended.
    let model = ScriptedModel::new([Reply::throttled(), Reply::text("never")]);
    let builder = Agent::builder().model(model.clone());
    let agent = builder.retry_strategy(NoopRetryStrategy).build().unwrap();
    let stopping = Keeping::until(3);
    let stopped = agent.prompt("?").on_runtime(&stopping).await;
    let run = stopped.unwrap_err().into_run();

    let told = told(agent.resume(run)).await;

    assert_eq!(told.trace(), ["run", "force_stop throttled"]);
    assert_eq!(model.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn run_of_another_stored_form_is_refused() {
    let model = ScriptedModel::new([Reply::throttled()]);
    let builder = Agent::builder().model(model);
    let agent = builder.retry_strategy(NoopRetryStrategy).build().unwrap();
    let run = agent.prompt("?").await.unwrap_err().into_run();
    let mut stored = serde_json::to_value(&run).unwrap();
    stored["schema"] = json!(99);

    let refused = serde_json::from_value::<Run>(stored).unwrap_err();

    assert!(refused.to_string().contains("form 99"), "{refused}");
}

/// Keeps the outcomes of a run, in their stored form too, and does only so many units.
struct Keeping {
    clock: TokioRuntime,
    kept: Mutex<Vec<(StepOutcome, String)>>,
    most: usize,
}

impl Keeping {
    fn until(most: usize) -> Self {
        Self {
            clock: TokioRuntime::new(),
            kept: Mutex::default(),
            most,
        }
    }

    fn kept(&self) -> Vec<(StepOutcome, String)> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Runtime for Keeping {
    fn record<'a>(
        &'a self,
        _name: StepName,
        work: BoxFuture<'a, StepOutcome>,
    ) -> BoxFuture<'a, Result<StepOutcome, Stopped>> {
        Box::pin(async move {
            if self.kept().len() >= self.most {
                return Err(Stopped::new("as the test wants"));
            }
            let outcome = work.await;
            let stored = serde_json::to_string(&outcome);
            let stored = stored.map_err(|error| Stopped::new(error.to_string()))?;
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push((outcome.clone(), stored));
            Ok(outcome)
        })
    }

    fn sleep_until<'a>(
        &'a self,
        name: StepName,
        until: std::time::SystemTime,
    ) -> BoxFuture<'a, Result<(), Stopped>> {
        self.clock.sleep_until(name, until)
    }

    fn now(&self) -> std::time::SystemTime {
        self.clock.now()
    }

    fn random(&self) -> u64 {
        self.clock.random()
    }
}

#[tokio::test(start_paused = true)]
async fn run_follows_from_its_outcomes_alone_and_refuses_others() {
    let (agent, ..) = eventful().unwrap();
    let first_record = JournalRuntime::new(&Journal::new()).stop_after(1);
    let error = agent
        .prompt("Weather?")
        .on_runtime(&first_record)
        .await
        .unwrap_err();
    let mut run = error.into_run();
    let keeping = Keeping::until(usize::MAX);
    let result = agent
        .resume(run.clone())
        .on_runtime(&keeping)
        .await
        .unwrap();

    let kept = keeping.kept();
    for (outcome, stored) in &kept {
        let loaded: StepOutcome = serde_json::from_str(stored).unwrap();
        assert_eq!(loaded, *outcome);
        for (other, _) in kept
            .iter()
            .filter(|(other, _)| std::mem::discriminant(other) != std::mem::discriminant(outcome))
        {
            let before = run.clone();
            let refused = run.apply(other.clone()).unwrap_err().to_string();
            assert!(!refused.contains("``"), "{refused}");
            assert_eq!(run, before);
        }
        run.apply(loaded).unwrap();
    }

    assert_eq!(run.step(), Step::Done);
    assert!(run.is_done());
    assert_eq!(run.history().last().unwrap().text(), result.text());
}

/// An agent that asks itself for more once, within its two turns.
fn twofold() -> Result<Agent, ConfigError> {
    Agent::builder()
        .model(ScriptedModel::always(Reply::text("Yes.")))
        .on(|event: &mut AfterInvocationEvent| event.resume = Some("More?".into()))
        .max_turns(2)
        .build()
}

#[tokio::test(start_paused = true)]
async fn resumed_run_tells_its_beginning_once_wherever_it_was_stopped() {
    let agent = twofold().unwrap();
    for units in 0..6 {
        let keeping = Keeping::until(units);
        let stopped = agent.prompt("?").on_runtime(&keeping).await;
        let run = stopped.unwrap_err().into_run();

        let trace = told(agent.resume(run)).await.trace();

        let beginnings = trace.iter().filter(|line| *line == "run").count();
        assert_eq!((trace[0].as_str(), beginnings), ("run", 1), "after {units}");
    }
}

#[tokio::test(start_paused = true)]
async fn resumed_run_that_is_done_has_nothing_more_to_tell() {
    let agent = twofold().unwrap();
    let stopped = agent.prompt("?").on_runtime(&Keeping::until(0)).await;
    let mut run = stopped.unwrap_err().into_run();
    let keeping = Keeping::until(usize::MAX);
    let result = agent.resume(run.clone()).on_runtime(&keeping).await;
    for (outcome, _) in keeping.kept() {
        assert!(!run.is_done());
        run.apply(outcome).unwrap();
    }
    assert!(run.is_done());

    let mut again = agent.resume(run).stream();

    assert!(again.next().await.is_none());
    assert_eq!(again.result().await.unwrap().text(), result.unwrap().text());
}
