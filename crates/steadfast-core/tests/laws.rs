//! What holds for every run, tried on many: design section 2.3, and how a run ends.
//!
//! `support::told` checks each of them; here the runs are drawn at random from a fixed seed.

mod support;

use std::time::Duration;

use serde_json::json;
use steadfast_core::{
    AfterModelCallEvent, AfterToolCallEvent, Agent, AgentBuilder, BeforeModelCallEvent,
    CancellationToken, ContentBlock, Conversation, FunctionTool, ModelDelta, ModelErrorKind,
    ModelRetryStrategy, RunErrorKind, Runtime, StopReason, TokioRuntime, ToolError, Usage, millis,
    secs,
    testing::{Journal, JournalRuntime, Reply, ScriptedModel},
};
use support::told;

/// Draws numbers below a bound.
struct Dice(TokioRuntime);

impl Dice {
    fn below(&self, bound: u64) -> u64 {
        self.0.random() % bound
    }

    fn reply(&self) -> Reply {
        let text = || Reply::text(format!("answer {}", self.below(100)));
        let call = |name: &str| Reply::tool_call(name, json!({"n": self.below(10)}));
        let reply = match self.below(16) {
            0..4 => text(),
            4 => Reply::throttled(),
            5 => Reply::throttled_for(secs(self.below(700))),
            6 => text().then_cut(),
            7 => text().then_fail(ModelErrorKind::Overloaded),
            8 => text().then_hang(),
            9 => Reply::fail(ModelErrorKind::Auth),
            10 => Reply::deltas([]),
            11 => call("look").then_fail(ModelErrorKind::Network),
            12 => Reply::tool_calls([
                ("look", json!({})),
                ("break", json!({})),
                ("nobody", json!({})),
            ]),
            13 => call("sleep").preceded_by(ModelDelta::Text("One moment. ".into())),
            14 => call("break"),
            _ => call("look").preceded_by(ModelDelta::Text("Let me see. ".into())),
        };
        let reply = reply.with_usage(Usage::new(self.below(50), self.below(50)));
        reply.after(millis(self.below(3_000)))
    }

    fn builder(&self) -> AgentBuilder {
        let replies: Vec<Reply> = (0..self.below(20)).map(|_| self.reply()).collect();
        let (rude, stubborn) = (self.below(3) == 0, self.below(3) == 0);
        let mut builder = Agent::builder()
            .model(ScriptedModel::new(replies))
            .max_turns(1 + u32::try_from(self.below(6)).unwrap_or_default())
            .tool(FunctionTool::new(
                "look",
                "",
                |_: serde_json::Value| async { Ok::<_, ToolError>("seen") },
            ))
            .tool(FunctionTool::new(
                "break",
                "",
                |_: serde_json::Value| async { Err::<(), _>(ToolError::new("broken")) },
            ))
            .tool(FunctionTool::new(
                "sleep",
                "",
                |_: serde_json::Value| async {
                    tokio::time::sleep(secs(30)).await;
                    Ok::<_, ToolError>("rested")
                },
            ))
            .on(move |event: &mut AfterModelCallEvent| {
                if rude && event.response().is_some() && event.attempt() < 3 {
                    event.retry_after(millis(1_500));
                }
            })
            .on(move |event: &mut AfterToolCallEvent| {
                if stubborn && event.error().is_some() && event.tries() < 4 {
                    event.retry_after(secs(u64::from(event.tries()) - 1));
                }
            });
        if self.below(4) == 0 {
            builder = builder.max_total_tokens(1 + self.below(300));
        }
        match self.below(4) {
            0 => builder.keep_failed_turn(),
            1 => builder.roll_back_all(),
            _ => builder,
        }
    }
}

/// Calls and results come in pairs, and no message is empty of both sides.
fn check_history(conversation: &Conversation, seed: u64) {
    let mut open: Vec<&str> = Vec::new();
    for message in conversation.history().iter() {
        for block in &message.content {
            match block {
                ContentBlock::ToolUse(call) => open.push(&call.id),
                ContentBlock::ToolResult(result) => {
                    assert!(open.contains(&result.id.as_str()), "seed {seed}");
                    open.retain(|id| *id != result.id);
                }
                _ => {}
            }
        }
        let answers = message
            .content
            .iter()
            .any(|block| matches!(block, ContentBlock::ToolResult(_)));
        assert!(!answers || open.is_empty(), "seed {seed}");
    }
    assert!(open.is_empty(), "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn laws_hold_for_two_thousand_drawn_runs() {
    let (mut results, mut errors) = (0, 0);
    for seed in 0..2_000 {
        let dice = Dice(TokioRuntime::seeded(seed));
        let mut builder = dice.builder();
        if dice.below(3) == 0 {
            builder = builder.deadline(secs(1 + dice.below(60)));
        }
        let mut conversation = builder.build().unwrap().conversation();
        for _ in 0..2 {
            let token = CancellationToken::new();
            let cancelled_after = Duration::from_millis(dice.below(60_000));
            let later = token.clone();
            let canceller = (dice.below(3) == 0).then(|| {
                tokio::spawn(async move {
                    tokio::time::sleep(cancelled_after).await;
                    later.cancel();
                })
            });

            let told = told(conversation.prompt("Go.").cancel_on(token)).await;

            if let Some(canceller) = canceller {
                canceller.abort();
            }
            check_history(&conversation, seed);
            match told.outcome {
                Ok(_) => results += 1,
                Err(_) => errors += 1,
            }
            assert_eq!(told.trace().first().map(String::as_str), Some("run"));
        }
    }
    // Both ends were met often, or the runs above prove little.
    assert!(
        results > 500 && errors > 500,
        "{results} results, {errors} errors"
    );
}

#[tokio::test(start_paused = true)]
async fn drawn_runs_end_the_same_however_often_they_are_stopped() {
    for seed in 0..300 {
        let agent = || Dice(TokioRuntime::seeded(seed)).builder().build().unwrap();
        let life = async |agent: &Agent, runtime: JournalRuntime| {
            let mut conversation = agent.conversation();
            let outcome = conversation.prompt("Go.").on_runtime(&runtime).await;
            let told = match &outcome {
                Ok(result) => format!("{} {:?}", result.text(), result.stop_reason()),
                Err(error) => format!("{:?}", error.failure()),
            };
            let stopped = outcome.is_err_and(|error| error.kind() == RunErrorKind::Stopped);
            (!stopped).then(|| (told, conversation.history().clone()))
        };
        let journal = Journal::new();
        let whole = life(&agent(), JournalRuntime::new(&journal)).await;
        let replayed = life(&agent(), JournalRuntime::new(&journal)).await;

        let (mortal, journal) = (agent(), Journal::new());
        let (mut ended, mut lives) = (None, 0);
        while ended.is_none() && lives < 1_000 {
            lives += 1;
            let records = 1 + lives % 3;
            ended = life(&mortal, JournalRuntime::new(&journal).stop_after(records)).await;
        }

        assert!(whole.is_some());
        assert_eq!(replayed, whole, "seed {seed}");
        assert_eq!(ended, whole, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn laws_hold_when_another_thread_cancels() {
    // No time passes here: everything is ready at once, and a yield lets the other thread in.
    let runs: Vec<_> = (0..200)
        .map(|seed| {
            let replies = [
                Reply::throttled(),
                Reply::text("half").then_cut(),
                Reply::tool_calls([("look", json!({})), ("look", json!({}))]),
                Reply::text("Rain."),
            ];
            let look = FunctionTool::new("look", "", |_: serde_json::Value| async {
                tokio::task::yield_now().await;
                Ok::<_, ToolError>("seen")
            });
            let agent = Agent::builder()
                .model(ScriptedModel::new(replies))
                .tool(look)
                .retry_strategy(ModelRetryStrategy::new().initial_delay(Duration::ZERO))
                .on_async(|_: &mut BeforeModelCallEvent| Box::pin(tokio::task::yield_now()))
                .on_async(|_: &mut AfterModelCallEvent| Box::pin(tokio::task::yield_now()))
                .build()
                .unwrap();
            let token = CancellationToken::new();
            let later = token.clone();
            tokio::spawn(async move {
                for _ in 0..seed % 20 {
                    tokio::task::yield_now().await;
                }
                later.cancel();
            });
            tokio::spawn(async move {
                let mut conversation = agent.conversation();
                let told = told(conversation.prompt("Go.").cancel_on(token)).await;
                check_history(&conversation, seed);
                told.outcome.unwrap().stop_reason()
            })
        })
        .collect();

    for run in runs {
        let stop = run.await.unwrap();
        assert!(
            matches!(stop, StopReason::EndTurn | StopReason::Cancelled),
            "{stop:?}"
        );
    }
}
