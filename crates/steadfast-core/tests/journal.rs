//! The runtime seam, proved: a run is stopped at every record and goes on as if nothing had happened.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use steadfast_core::{
    AfterToolCallEvent, Agent, AgentResult, BeforeModelCallEvent, FunctionTool, History,
    RunErrorKind, ToolError, millis, secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};
use tokio::time::Instant;

/// Two tools and three retries.
fn script() -> Vec<Reply> {
    vec![
        Reply::throttled(),
        Reply::text("half").then_cut(),
        Reply::throttled_for(secs(20)),
        Reply::tool_calls([("look", json!({})), ("listen", json!({}))]),
        Reply::text("Rain."),
    ]
}

/// The records of that script.
const RECORDS: [&str; 15] = [
    "start",
    "begin-1",
    "turn-1/attempt-1",
    "turn-1/wait-after-1",
    "turn-1/attempt-2",
    "turn-1/wait-after-2",
    "turn-1/attempt-3",
    "turn-1/wait-after-3",
    "turn-1/attempt-4",
    "turn-1/begin-tools",
    "turn-1/tool-0/try-1",
    "turn-1/tool-1/try-1",
    "turn-1/finish-tools",
    "turn-2/attempt-1",
    "end-1",
];

/// An agent and what it did, over all lives of its process.
struct World {
    agent: Agent,
    model: ScriptedModel,
    tools: Arc<AtomicUsize>,
    hooks: Arc<AtomicUsize>,
}

impl World {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Option<Self> {
        let model = ScriptedModel::new(replies);
        let tools = Arc::new(AtomicUsize::new(0));
        let hooks = Arc::new(AtomicUsize::new(0));
        let tool = |name: &str| {
            let tools = Arc::clone(&tools);
            FunctionTool::new(name, "", move |_: Value| {
                tools.fetch_add(1, Ordering::Relaxed);
                async { Ok::<_, ToolError>("done") }
            })
        };
        let asked = Arc::clone(&hooks);
        let agent = Agent::builder()
            .model(model.clone())
            .tool(tool("look"))
            .tool(tool("listen"))
            .on(move |_: &mut BeforeModelCallEvent| {
                asked.fetch_add(1, Ordering::Relaxed);
            })
            .build()
            .ok()?;
        Some(Self {
            agent,
            model,
            tools,
            hooks,
        })
    }

    /// One life of the process: its result, or none if it was stopped, and what it remembers.
    async fn live(&self, runtime: &JournalRuntime) -> (Option<AgentResult>, History) {
        let mut conversation = self.agent.conversation();
        let outcome = conversation.prompt("Weather?").on_runtime(runtime).await;
        if let Err(error) = &outcome {
            assert_eq!(error.kind(), RunErrorKind::Stopped);
        }
        (outcome.ok(), conversation.history().clone())
    }

    fn done(&self) -> (usize, usize, usize) {
        let tools = self.tools.load(Ordering::Relaxed);
        (
            self.model.calls(),
            tools,
            self.hooks.load(Ordering::Relaxed),
        )
    }
}

/// The run that nothing interrupts.
async fn uninterrupted() -> (Option<AgentResult>, History) {
    match World::new(script()) {
        Some(world) => world.live(&JournalRuntime::new(&Journal::new())).await,
        None => (None, History::default()),
    }
}

#[tokio::test(start_paused = true)]
async fn every_decision_is_a_record_with_a_name_of_its_own() {
    let journal = Journal::new();
    let world = World::new(script()).unwrap();

    let (result, history) = world.live(&JournalRuntime::new(&journal)).await;

    assert_eq!(journal.names(), RECORDS);
    assert_eq!(world.done(), (5, 2, 5));
    let result = result.unwrap();
    assert_eq!(
        (result.text(), result.attempts(), result.waited()),
        ("Rain.", 5, secs(32))
    );
    assert_eq!(history.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn run_stopped_after_any_record_ends_the_same() {
    let whole = uninterrupted().await;
    for records in 0..=RECORDS.len() {
        let journal = Journal::new();
        let world = World::new(script()).unwrap();
        let dying = JournalRuntime::new(&journal).stop_after(records);

        let died = world.live(&dying).await;
        let recorded = journal.names();
        let next = JournalRuntime::new(&journal);
        let lived = world.live(&next).await;

        assert_eq!(died.0, None);
        assert_eq!(recorded, RECORDS[..records]);
        assert_eq!(lived, whole, "stopped after {records}");
        assert_eq!(next.new_records(), RECORDS.len() - records);
        assert_eq!(journal.names(), RECORDS);
        // Nothing that was recorded was done again, and no hook asked again.
        assert_eq!(world.done(), (5, 2, 5), "stopped after {records}");
    }
}

#[tokio::test(start_paused = true)]
async fn process_that_dies_after_every_single_record_ends_the_same() {
    let journal = Journal::new();
    let world = World::new(script()).unwrap();
    let mut lives = 0;

    let last = loop {
        lives += 1;
        let life = world
            .live(&JournalRuntime::new(&journal).stop_after(1))
            .await;
        if life.0.is_some() {
            break life;
        }
    };

    assert_eq!(lives, RECORDS.len() + 1);
    assert_eq!(last, uninterrupted().await);
    assert_eq!(world.done(), (5, 2, 5));
}

#[tokio::test(start_paused = true)]
async fn any_prefix_of_a_journal_replays_to_the_same_end() {
    let journal = Journal::new();
    let first = World::new(script())
        .unwrap()
        .live(&JournalRuntime::new(&journal))
        .await;

    for records in 1..=RECORDS.len() {
        // The model of the next process only has the replies that were not recorded.
        let recorded = &RECORDS[..records];
        let count = |what: &str| recorded.iter().filter(|name| name.contains(what)).count();
        let (attempts, tools) = (count("attempt-"), count("/tool-"));
        let world = World::new(script().into_iter().skip(attempts)).unwrap();

        let (result, history) = world
            .live(&JournalRuntime::new(&journal.prefix(records)))
            .await;

        let (result, first_result) = (result.unwrap(), first.0.clone().unwrap());
        assert_eq!(history, first.1);
        assert_eq!(result.text(), first_result.text());
        assert_eq!(result.attempts(), first_result.attempts());
        assert_eq!(result.waited(), first_result.waited());
        assert_eq!(world.done(), (5 - attempts, 2 - tools, 5 - attempts));
    }
}

#[tokio::test(start_paused = true)]
async fn whole_journal_replays_the_very_result_and_tells_nothing_again() {
    let journal = Journal::new();
    let first = World::new(script())
        .unwrap()
        .live(&JournalRuntime::new(&journal))
        .await;
    tokio::time::advance(secs(3_600)).await;
    let world = World::new([]).unwrap();
    let runtime = JournalRuntime::new(&journal);

    let mut events = world.agent.prompt("Weather?").on_runtime(&runtime).stream();
    let told = events.next().await;
    let again = events.result().await.unwrap();

    assert_eq!(told, None);
    assert_eq!(Some(again), first.0);
}

#[tokio::test(start_paused = true)]
async fn stored_wait_keeps_its_wall_clock_deadline() {
    // The wait of 4 s is declared in the third record.
    for (dead_for, still_waits) in [(secs(0), secs(4)), (secs(3), secs(1)), (secs(60), secs(0))] {
        let journal = Journal::new();
        let world = World::new([Reply::throttled(), Reply::text("Yes.")]).unwrap();
        world
            .live(&JournalRuntime::new(&journal).stop_after(3))
            .await;
        tokio::time::advance(dead_for).await;
        let began = Instant::now();

        let (result, _) = world.live(&JournalRuntime::new(&journal)).await;

        assert_eq!(began.elapsed(), still_waits);
        let result = result.unwrap();
        assert_eq!(result.duration(), dead_for + still_waits);
        assert_eq!(result.waited(), secs(4));
    }
}

#[tokio::test(start_paused = true)]
async fn process_killed_in_a_wait_only_waits_out_the_rest() {
    let journal = Journal::new();
    let world = World::new([Reply::throttled(), Reply::text("Yes.")]).unwrap();
    let runtime = JournalRuntime::new(&journal);
    let killed = tokio::time::timeout(secs(1), world.live(&runtime)).await;
    let began = Instant::now();

    world.live(&JournalRuntime::new(&journal)).await;

    assert!(killed.is_err());
    assert_eq!(began.elapsed(), secs(3));
    assert_eq!(world.done(), (2, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn process_killed_in_an_attempt_makes_that_attempt_again() {
    let journal = Journal::new();
    let world = World::new([
        Reply::throttled(),
        Reply::text("half").then_hang(),
        Reply::text("Yes."),
    ])
    .unwrap();
    let runtime = JournalRuntime::new(&journal);
    let killed = tokio::time::timeout(secs(10), world.live(&runtime)).await;

    let (result, _) = world.live(&JournalRuntime::new(&journal)).await;

    assert!(killed.is_err());
    let result = result.unwrap();
    assert_eq!((result.text(), result.attempts()), ("Yes.", 2));
}

#[tokio::test(start_paused = true)]
async fn wait_before_a_tool_retry_keeps_its_deadline_too() {
    let journal = Journal::new();
    let agent = Agent::builder()
        .model(ScriptedModel::new([
            Reply::tool_call("nobody", json!({})),
            Reply::text("Yes."),
        ]))
        .on(|event: &mut AfterToolCallEvent| {
            if event.tries() < 2 {
                event.retry_after(secs(10));
            }
        })
        .build()
        .unwrap();
    let dying = JournalRuntime::new(&journal).stop_after(5);
    agent.prompt("?").on_runtime(&dying).await.unwrap_err();
    tokio::time::advance(secs(7)).await;
    let began = Instant::now();

    agent
        .prompt("?")
        .on_runtime(&JournalRuntime::new(&journal))
        .await
        .unwrap();

    assert_eq!(
        journal.names()[4..6],
        ["turn-1/tool-0/try-1", "turn-1/tool-0/try-2"]
    );
    assert_eq!(began.elapsed(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn failure_beside_a_retried_call_replays_to_the_same_run() {
    let agent = || {
        let slow = FunctionTool::new("slow", "", |_: Value| pending::<Result<(), ToolError>>());
        let look = FunctionTool::new("look", "", |_: Value| async { Ok::<_, ToolError>("seen") });
        Agent::builder()
            .model(ScriptedModel::new([Reply::tool_calls([
                ("slow", json!({})),
                ("look", json!({})),
            ])]))
            .tool(slow)
            .tool(look)
            .max_tool_tries(2)
            .on(|event: &mut AfterToolCallEvent| {
                event.retry = event.tool_use().name == "look" && event.tries() == 1;
            })
            .build()
            .unwrap()
    };
    let journal = Journal::new();
    let run = async |agent: Agent| {
        let runtime = JournalRuntime::new(&journal);
        let late = agent.prompt("?").deadline(millis(1)).on_runtime(&runtime);
        late.await.unwrap_err().into_run()
    };
    let first = run(agent()).await;

    let again = run(agent()).await;

    assert!(journal.names().contains(&"turn-1/tool-1/try-2".to_owned()));
    assert_eq!(again, first);
}
