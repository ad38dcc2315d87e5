//! Tool calls: which run, what the model reads of them, and what hooks may steer.

mod support;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use steadfast_core::{
    AfterToolCallEvent, AfterToolsEvent, Agent, AgentBuilder, BeforeToolCallEvent,
    BeforeToolsEvent, FunctionTool, ModelDelta, ModelErrorKind, StopReason, ToolError, ToolResult,
    ToolUse, millis, secs,
    testing::{Reply, ScriptedModel},
};
use support::{message_line, told};

#[derive(Deserialize, JsonSchema)]
struct Place {
    city: String,
}

/// Counts how often a tool runs.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn up(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The tools `weather`, which wants a city, `slow`, which takes 3 s, and `broken`.
fn builder(model: &ScriptedModel, count: &Count) -> AgentBuilder {
    let (weather, slow, broken) = (count.clone(), count.clone(), count.clone());
    Agent::builder()
        .model(model.clone())
        .tool(FunctionTool::new(
            "weather",
            "Tells the weather.",
            move |place: Place| {
                weather.up();
                async move { Ok::<_, ToolError>(format!("rain in {}", place.city)) }
            },
        ))
        .tool(FunctionTool::new("slow", "Is slow.", move |_: Value| {
            slow.up();
            async {
                tokio::time::sleep(secs(3)).await;
                Ok::<_, ToolError>("at last")
            }
        }))
        .tool(FunctionTool::new("broken", "Fails.", move |_: Value| {
            let tries = broken.up();
            async move { Err::<(), _>(ToolError::new(format!("out of order ({tries})"))) }
        }))
}

fn oslo() -> Value {
    json!({"city": "Oslo"})
}

/// Runs one reply with tool calls and returns what the model then reads, and how often tools ran.
async fn answered(calls: Reply, change: impl Fn(AgentBuilder) -> AgentBuilder) -> (String, usize) {
    let model = ScriptedModel::new([calls, Reply::text("Done.")]);
    let count = Count::default();
    let Ok(agent) = change(builder(&model, &count)).build() else {
        return ("not built".to_owned(), 0);
    };
    let told = told(agent.prompt("Go.")).await;
    let result = told.outcome.map(|result| result.text().to_owned());
    assert_eq!(result.ok().as_deref(), Some("Done."));
    let requests = model.requests();
    let read = requests.last().and_then(|request| request.history().last());
    let read = read.map(|message| message_line(message));
    (read.unwrap_or_default(), count.get())
}

#[tokio::test(start_paused = true)]
async fn calls_run_at_once_and_answer_in_the_models_order() {
    let calls = [
        ("slow", json!({})),
        ("weather", oslo()),
        ("slow", json!({})),
    ];
    let model = ScriptedModel::new([Reply::tool_calls(calls), Reply::text("Done.")]);
    let agent = builder(&model, &Count::default()).build().unwrap();

    let told = told(agent.prompt("Go.")).await;

    let expected = [
        "run",
        "user: Go.",
        "attempt 1.1",
        "assistant: call_1=slow call_2=weather call_3=slow",
        "call_1 runs slow",
        "call_2 runs weather",
        "call_2 ok",
        "call_3 runs slow",
        "+3s",
        "call_1 ok",
        "call_3 ok",
        "user: call_1=at last call_2=rain in Oslo call_3=at last",
        "attempt 2.1",
        "2.1 says Done.",
        "assistant: Done.",
        "result EndTurn",
    ];
    assert_eq!(told.trace(), expected);
}

#[tokio::test(start_paused = true)]
async fn calls_that_cannot_work_are_answered_with_errors() {
    // AR-30; scenarios of section 1.7: unknown, failing, unfitting, not JSON. The others still run.
    let not_json = Reply::deltas([
        ModelDelta::ToolUseStart {
            index: 0,
            id: "call_1".into(),
            name: "weather".into(),
        },
        ModelDelta::ToolUseInput {
            index: 0,
            json: "{\"city\": Oslo".into(),
        },
        ModelDelta::Stop(StopReason::ToolUse),
    ]);
    let calls = [
        ("nobody", json!({})),
        ("broken", json!({})),
        ("weather", json!({"town": 1})),
        ("weather", oslo()),
    ];

    let (read, ran) = answered(Reply::tool_calls(calls), |builder| builder).await;
    let (garbled, _) = answered(not_json, |builder| builder).await;

    assert_eq!(
        read,
        "user: call_1!there is no tool `nobody`; the tools are `weather`, `slow`, `broken` \
         call_2!out of order (1) \
         call_3!the arguments do not fit: missing field `city` \
         call_4=rain in Oslo"
    );
    assert_eq!(ran, 2);
    assert!(
        garbled.starts_with("user: call_1!the arguments do not fit"),
        "{garbled}"
    );
}

/// Strands 62.
#[tokio::test(start_paused = true)]
async fn call_of_an_incomplete_answer_is_answered_but_not_run() {
    // Design section 5: a cut tool call is not run, and neither is a whole one in a cut answer.
    for (stop, why) in [
        (StopReason::MaxTokens, "cut at the output limit"),
        (
            StopReason::ContentFiltered,
            "stopped before it was complete",
        ),
    ] {
        for json in [r#"{"city": "Os"#, r#"{"city": "Oslo"}"#] {
            let call = [
                ModelDelta::ToolUseStart {
                    index: 0,
                    id: "call_1".into(),
                    name: "weather".into(),
                },
                ModelDelta::ToolUseInput {
                    index: 0,
                    json: json.into(),
                },
                ModelDelta::Stop(stop),
            ];
            let model = ScriptedModel::new([Reply::deltas(call)]);
            let count = Count::default();
            let agent = builder(&model, &count).build().unwrap();
            let mut conversation = agent.conversation();

            let told = told(conversation.prompt("Go.")).await;

            assert_eq!(told.outcome.unwrap().stop_reason(), stop);
            assert_eq!(count.get(), 0);
            let last = conversation
                .history()
                .last()
                .map(|m| message_line(m))
                .unwrap();
            assert_eq!(last, format!("user: call_1!not run: the answer was {why}"));
        }
    }
}

/// Strands 57.
#[tokio::test(start_paused = true)]
async fn call_of_a_discarded_attempt_is_not_run() {
    let model = ScriptedModel::new([
        Reply::tool_call("weather", oslo()).then_fail(ModelErrorKind::Throttled),
        Reply::text("Done."),
    ]);
    let count = Count::default();

    let told = told(builder(&model, &count).build().unwrap().prompt("Go.")).await;

    let expected = [
        "run",
        "user: Go.",
        "attempt 1.1",
        "1.1 discarded ModelError",
        "1.1 waits 4s by Backoff",
        "+4s",
        "attempt 1.2",
        "1.2 says Done.",
        "assistant: Done.",
        "result EndTurn",
    ];
    assert_eq!(told.trace(), expected);
    assert_eq!(count.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn function_without_arguments_is_a_tool() {
    let model = ScriptedModel::new([Reply::tool_call("now", json!({})), Reply::text("Done.")]);
    let now = FunctionTool::new("now", "Tells the time.", |(): ()| async {
        Ok::<_, ToolError>("noon")
    });
    let agent = Agent::builder()
        .model(model.clone())
        .tool(now)
        .build()
        .unwrap();

    agent.prompt("Go.").await.unwrap();

    let request = &model.requests()[1];
    assert_eq!(
        request.history().last().map(|m| message_line(m)).unwrap(),
        "user: call_1=noon"
    );
    assert_eq!(request.tools()[0].input_schema["type"], "object");
}

#[tokio::test(start_paused = true)]
async fn hook_may_refuse_all_tools_of_a_turn() {
    let calls = [("weather", oslo()), ("slow", json!({}))];

    let answered = answered(Reply::tool_calls(calls), |builder| {
        builder.on(|event: &mut BeforeToolsEvent| event.cancel = Some("Not now.".into()))
    })
    .await;

    assert_eq!(
        answered,
        ("user: call_1!Not now. call_2!Not now.".to_owned(), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn hook_may_refuse_one_tool_call() {
    let answered = answered(
        Reply::tool_calls([("weather", oslo()), ("broken", oslo())]),
        |builder| {
            builder.on(|event: &mut BeforeToolCallEvent| {
                if event.tool_use.name == "broken" {
                    event.cancel = Some("Never.".into());
                }
            })
        },
    )
    .await;

    assert_eq!(
        answered,
        ("user: call_1=rain in Oslo call_2!Never.".to_owned(), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn hook_may_steer_what_runs_and_what_is_answered() {
    let call = || Reply::tool_call("old_weather", json!({"place": "Oslo"}));
    let renamed = |event: &mut BeforeToolCallEvent| {
        event.tool_use = ToolUse::new("another id", "weather", json!({"city": "Bergen"}));
    };
    let selected = |event: &mut BeforeToolCallEvent| {
        event.selected_tool = Some(Arc::new(FunctionTool::new("x", "", |_: Value| async {
            Ok::<_, ToolError>("selected")
        })));
    };
    let replaced = |event: &mut AfterToolCallEvent| {
        let other = ToolUse::new("another id", "another name", json!({}));
        event.result = ToolResult::error(&other, "replaced");
    };

    let rename = answered(call(), |builder| builder.on(renamed)).await;
    let select = answered(call(), |builder| builder.on(selected)).await;
    let replace = answered(call(), |builder| builder.on(replaced)).await;

    assert_eq!(rename.0, "user: call_1=rain in Bergen");
    assert_eq!(select.0, "user: call_1=selected");
    assert_eq!(replace.0, "user: call_1!replaced");
}

#[tokio::test(start_paused = true)]
async fn result_carries_the_name_under_which_the_model_called() {
    // Some wires match results by name; a hook that renames the call must not break the history.
    let model = ScriptedModel::new([
        Reply::tool_call("old_weather", oslo()),
        Reply::text("Done."),
    ]);
    let agent = builder(&model, &Count::default())
        .on(|event: &mut BeforeToolCallEvent| event.tool_use.name = "weather".into())
        .build()
        .unwrap();

    agent.prompt("Go.").await.unwrap();

    let history = serde_json::to_value(model.requests()[1].history().tail()).unwrap();
    assert_eq!(history[1]["content"][0]["name"], "old_weather");
    assert_eq!(history[2]["content"][0]["name"], "old_weather");
}

#[tokio::test(start_paused = true)]
async fn hook_may_end_the_run_after_the_tools() {
    let model = ScriptedModel::new([Reply::tool_call("weather", oslo())]);
    let agent = builder(&model, &Count::default())
        .on(|event: &mut AfterToolsEvent| event.end_turn = Some("That is all.".into()))
        .build()
        .unwrap();
    let mut conversation = agent.conversation();

    let told = told(conversation.prompt("Go.")).await;

    let expected = [
        "call_1 ok",
        "user: call_1=rain in Oslo",
        "1.1 says That is all.",
        "assistant: That is all.",
        "result EndTurn",
    ];
    assert_eq!(told.trace()[5..], expected);
    assert_eq!(told.outcome.unwrap().text(), "That is all.");
    assert_eq!(conversation.history().len(), 4);
}

/// Strands 49.
#[tokio::test(start_paused = true)]
async fn retried_tool_waits_and_only_its_last_result_counts() {
    // AT-10.
    let model = ScriptedModel::new([Reply::tool_call("broken", json!({})), Reply::text("Done.")]);
    let count = Count::default();
    let agent = builder(&model, &count)
        .on(|event: &mut AfterToolCallEvent| {
            if event.error().is_some() && event.tries() < 3 {
                event.retry_after(millis(1_500));
            }
        })
        .build()
        .unwrap();

    let told = told(agent.prompt("Go.")).await;

    let expected = [
        "call_1 runs broken",
        "call_1 failed",
        "+1.5s",
        "call_1 runs broken",
        "call_1 failed",
        "+1.5s",
        "call_1 runs broken",
        "call_1 failed",
        "user: call_1!out of order (3)",
    ];
    assert_eq!(told.trace()[4..13], expected);
    assert_eq!(count.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn tool_is_not_waited_for_past_the_deadline() {
    // The wait would end at the deadline itself, or a moment before it.
    for (deadline, runs) in [(millis(1_500), 1), (millis(1_501), 2)] {
        let model =
            ScriptedModel::new([Reply::tool_call("broken", json!({})), Reply::text("Done.")]);
        let count = Count::default();
        let agent = builder(&model, &count)
            .deadline(deadline)
            .on(|event: &mut AfterToolCallEvent| {
                if event.error().is_some() && event.tries() < 2 {
                    event.retry_after(millis(1_500));
                }
            })
            .build()
            .unwrap();

        let answer = agent.prompt("Go.").await.unwrap();

        assert_eq!((answer.text(), count.get()), ("Done.", runs));
    }
}

#[tokio::test(start_paused = true)]
async fn tool_retries_end_at_the_cap() {
    for (cap, runs) in [(None, 10), (Some(4), 4), (Some(1), 1)] {
        let call = Reply::tool_call("broken", json!({}));

        let answered = answered(call, |builder| {
            let builder = match cap {
                Some(tries) => builder.max_tool_tries(tries),
                None => builder,
            };
            builder.on(|event: &mut AfterToolCallEvent| event.retry = true)
        })
        .await;

        assert_eq!(
            answered,
            (format!("user: call_1!out of order ({runs})"), runs)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_retry_of_one_tool_does_not_hold_up_another() {
    let calls = Reply::tool_calls([("broken", json!({})), ("slow", json!({}))]);
    let model = ScriptedModel::new([calls, Reply::text("Done.")]);
    let agent = builder(&model, &Count::default())
        .on(|event: &mut AfterToolCallEvent| {
            if event.error().is_some() && event.tries() < 2 {
                event.retry_after(secs(3));
            }
        })
        .build()
        .unwrap();

    let result = told(agent.prompt("Go.")).await.outcome.unwrap();

    assert_eq!(result.duration(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn cleared_tool_retry_clears_its_delay() {
    // After hooks are asked in reverse: the one registered last comes first.
    let call = Reply::tool_call("broken", json!({}));

    let answered = answered(call, |builder| {
        builder
            .on(|event: &mut AfterToolCallEvent| event.retry = false)
            .on(|event: &mut AfterToolCallEvent| event.retry_after(secs(3)))
    })
    .await;

    assert_eq!(answered, ("user: call_1!out of order (1)".to_owned(), 1));
}

/// Strands 49.
#[tokio::test(start_paused = true)]
async fn retried_tool_is_asked_about_anew_and_answers_once() {
    let model = ScriptedModel::new([Reply::tool_call("broken", json!({})), Reply::text("Done.")]);
    let count = Count::default();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (before, after) = (Arc::clone(&asked), Arc::clone(&asked));
    let agent = builder(&model, &count)
        .on(move |event: &mut BeforeToolCallEvent| {
            before.lock().unwrap().push(event.tool_use.id.clone());
        })
        .on(|event: &mut AfterToolCallEvent| event.retry = event.tries() < 3)
        .on(move |event: &mut AfterToolsEvent| {
            after.lock().unwrap().push(message_line(event.results()));
        })
        .build()
        .unwrap();
    let mut conversation = agent.conversation();

    told(conversation.prompt("Go.")).await.outcome.unwrap();

    let answered = "user: call_1!out of order (3)";
    let expected = ["call_1", "call_1", "call_1", answered];
    assert_eq!(*asked.lock().unwrap(), expected);
    let kept: Vec<_> = conversation
        .history()
        .iter()
        .map(|message| message_line(message))
        .collect();
    let expected = [
        "user: Go.",
        "assistant: call_1=broken",
        answered,
        "assistant: Done.",
    ];
    assert_eq!(kept, expected);
    assert_eq!(count.get(), 3);
}
