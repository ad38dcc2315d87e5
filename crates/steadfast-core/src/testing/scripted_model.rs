//! A model that follows a script and remembers what it was asked.

use std::{
    borrow::Cow,
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use futures_core::Stream;
use serde_json::Value;

use crate::{
    model::{Model, ModelDelta, ModelError, ModelErrorKind, ModelRequest, ModelStream},
    usage::{StopReason, Usage},
};

/// A model that gives one reply of its script to each call.
///
/// Clones share the script and what was asked. A call after the end of the script fails with
/// [`ModelErrorKind::InvalidRequest`], which no strategy retries.
///
/// ```
/// use serde_json::json;
/// use steadfast_core::testing::{Reply, ScriptedModel};
///
/// let model = ScriptedModel::new([
///     Reply::tool_call("get_weather", json!({"city": "Oslo"})),
///     Reply::text("Rain."),
/// ]);
/// assert_eq!(model.calls(), 0);
/// ```
#[derive(Clone)]
pub struct ScriptedModel {
    script: Arc<Mutex<Script>>,
    name: Cow<'static, str>,
}

struct Script {
    replies: VecDeque<Reply>,
    /// Given again and again once the others are used up.
    endless: Option<Reply>,
    requests: Vec<ModelRequest>,
    calls: usize,
    keep_requests: bool,
}

impl ScriptedModel {
    /// Makes a model of a script.
    pub fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let script = Script {
            replies: replies.into_iter().collect(),
            endless: None,
            requests: Vec::new(),
            calls: 0,
            keep_requests: true,
        };
        Self {
            script: Arc::new(Mutex::new(script)),
            name: Cow::Borrowed("scripted"),
        }
    }

    /// Makes a model that always replies the same, and remembers nothing.
    pub fn always(reply: Reply) -> Self {
        let model = Self::new([]);
        {
            let mut script = model.script();
            script.endless = Some(reply);
            script.keep_requests = false;
        }
        model
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives it another name than `scripted`, where models are told apart by theirs. Earlier clones keep the
    /// name that they have.
    ///
    /// ```
    /// use steadfast_core::{
    ///     Agent, AgentEvent, Fallback, ModelErrorKind, testing::{Reply, ScriptedModel},
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let first = ScriptedModel::new([Reply::fail(ModelErrorKind::Auth)]).named("first");
    /// let second = ScriptedModel::new([Reply::text("Yes.")]).named("second");
    /// let agent = Agent::builder()
    ///     .model(Fallback::new(first).then(second))
    ///     .observe(|event: &AgentEvent| {
    ///         if let AgentEvent::ModelSwitched(switched) = event {
    ///             assert_eq!((switched.from(), switched.to()), ("first", "second"));
    ///         }
    ///     })
    ///     .build()?;
    /// assert_eq!(agent.prompt("Umbrella?").await?.text(), "Yes.");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Returns how many times it was called.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.script().calls
    }

    /// Returns what it was asked, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<ModelRequest> {
        self.script().requests.clone()
    }
}

#[async_trait]
impl Model for ScriptedModel {
    fn name(&self) -> &str {
        &self.name
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let reply = {
            let mut script = self.script();
            script.calls += 1;
            if script.keep_requests {
                script.requests.push(request);
            }
            script
                .replies
                .pop_front()
                .or_else(|| script.endless.clone())
        };
        let Some(reply) = reply else {
            let message = "the script of the `ScriptedModel` has no reply left";
            return Err(ModelError::new(ModelErrorKind::InvalidRequest, message));
        };
        match reply.refusal {
            Some(error) => {
                for item in reply.items {
                    if let Item::Pause(pause) = item {
                        tokio::time::sleep(pause).await;
                    }
                }
                Err(error)
            }
            None => Ok(ModelStream::new(Replay {
                items: reply.items.into_iter(),
                pause: None,
                hangs: reply.hangs,
            })),
        }
    }
}

impl fmt::Debug for ScriptedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedModel")
            .field("name", &self.name)
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}

/// One reply of a [`ScriptedModel`].
///
/// An error before the answer, or an answer and how it ends.
#[derive(Debug, Clone)]
#[must_use]
pub struct Reply {
    refusal: Option<ModelError>,
    items: Vec<Item>,
    hangs: bool,
}

#[derive(Debug, Clone)]
enum Item {
    Delta(ModelDelta),
    Error(ModelError),
    Pause(Duration),
}

impl Reply {
    fn of_items(items: Vec<Item>) -> Self {
        Self {
            refusal: None,
            items,
            hangs: false,
        }
    }

    /// Answers with a text and ends well.
    pub fn text(text: impl Into<String>) -> Self {
        Self::deltas([
            ModelDelta::Text(text.into()),
            ModelDelta::Stop(StopReason::EndTurn),
        ])
    }

    /// Answers with one tool call, `call_1`.
    pub fn tool_call(name: impl Into<String>, input: Value) -> Self {
        Self::tool_calls([(name, input)])
    }

    /// Answers with several tool calls, `call_1`, `call_2` and so on.
    pub fn tool_calls<N: Into<String>>(calls: impl IntoIterator<Item = (N, Value)>) -> Self {
        let mut deltas = Vec::new();
        for (index, (name, input)) in calls.into_iter().enumerate() {
            deltas.push(ModelDelta::ToolUseStart {
                index,
                id: format!("call_{}", index + 1),
                name: name.into(),
            });
            deltas.push(ModelDelta::ToolUseInput {
                index,
                json: input.to_string(),
            });
        }
        deltas.push(ModelDelta::Stop(StopReason::ToolUse));
        Self::deltas(deltas)
    }

    /// Answers with these deltas.
    ///
    /// Without [`ModelDelta::Stop`] the answer is truncated.
    pub fn deltas(deltas: impl IntoIterator<Item = ModelDelta>) -> Self {
        Self::of_items(deltas.into_iter().map(Item::Delta).collect())
    }

    /// Fails before the answer begins.
    pub fn error(error: ModelError) -> Self {
        Self {
            refusal: Some(error),
            ..Self::of_items(Vec::new())
        }
    }

    /// Fails before the answer begins, with an error of a kind.
    pub fn fail(kind: ModelErrorKind) -> Self {
        Self::error(ModelError::new(kind, "scripted"))
    }

    /// Refuses as a throttled provider does: status 429, without a hint.
    pub fn throttled() -> Self {
        let error = ModelError::new(ModelErrorKind::Throttled, "rate limit reached");
        Self::error(error.with_status(429))
    }

    /// Refuses as a throttled provider does that says when to come back.
    pub fn throttled_for(retry_after: Duration) -> Self {
        let error = ModelError::new(ModelErrorKind::Throttled, "rate limit reached");
        Self::error(error.with_status(429).with_retry_after(retry_after))
    }

    /// Never answers.
    pub fn hang() -> Self {
        Self {
            hangs: true,
            ..Self::of_items(Vec::new())
        }
    }

    /// Leaves out the end marker: the answer breaks off after what it has said.
    pub fn then_cut(mut self) -> Self {
        self.items
            .retain(|item| !matches!(item, Item::Delta(ModelDelta::Stop(_))));
        self
    }

    /// Fails in mid-stream, after what was said so far.
    pub fn then_fail(self, kind: ModelErrorKind) -> Self {
        let mut cut = self.then_cut();
        cut.items.push(Item::Error(ModelError::new(
            kind,
            "scripted, in mid-stream",
        )));
        cut
    }

    /// Says all that it has to say, and does not hang up.
    pub fn and_hang(mut self) -> Self {
        self.hangs = true;
        self
    }

    /// Falls silent after what was said so far.
    pub fn then_hang(self) -> Self {
        let mut cut = self.then_cut();
        cut.hangs = true;
        cut
    }

    /// Pauses before the answer, or before the error.
    pub fn after(mut self, pause: Duration) -> Self {
        self.items.insert(0, Item::Pause(pause));
        self
    }

    /// Says something before the rest of the answer.
    pub fn preceded_by(mut self, delta: ModelDelta) -> Self {
        self.items.insert(0, Item::Delta(delta));
        self
    }

    /// Says what the answer cost.
    pub fn with_usage(self, usage: Usage) -> Self {
        self.preceded_by(ModelDelta::Usage(usage))
    }
}

/// A reply as it arrives.
struct Replay {
    items: std::vec::IntoIter<Item>,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    hangs: bool,
}

impl Stream for Replay {
    type Item = Result<ModelDelta, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.items.next() {
                Some(Item::Delta(delta)) => return Poll::Ready(Some(Ok(delta))),
                Some(Item::Error(error)) => return Poll::Ready(Some(Err(error))),
                Some(Item::Pause(pause)) => self.pause = Some(Box::pin(tokio::time::sleep(pause))),
                None if self.hangs => return Poll::Pending,
                None => return Poll::Ready(None),
            }
        }
    }
}
