//! A conversation: a history that prompts go on from. Storing it is not done here.

use std::{fmt, sync::Arc};

use crate::{
    agent::Agent, history::History, input::Input, message::Message, prompt::Prompt, run::Run,
};

/// A history with the agent that goes on from it.
///
/// A prompt borrows it exclusively and adds its messages when the run ends. After a failed or
/// cancelled run, finished turns stay (their tools have run), the unfinished turn leaves nothing,
/// and one that was the first takes back its prompt too;
/// [`keep_failed_turn`](crate::AgentBuilder::keep_failed_turn) and
/// [`roll_back_all`](crate::AgentBuilder::roll_back_all) change that.
///
/// # Cancel safety
///
/// A prompt that is dropped before its end leaves the history as it was.
///
/// ```
/// use steadfast_core::{Agent, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let model = ScriptedModel::new([Reply::text("Hello Ada."), Reply::text("Ada.")]);
/// let agent = Agent::builder().model(model).build()?;
/// let mut conversation = agent.conversation();
/// conversation.prompt("I am Ada.").await?;
/// let answer = conversation.prompt("Who am I?").await?;
/// assert_eq!(answer.text(), "Ada.");
/// assert_eq!(conversation.history().len(), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Conversation {
    agent: Agent,
    history: History,
}

impl Conversation {
    pub(crate) fn new(agent: Agent) -> Self {
        Self {
            agent,
            history: History::default(),
        }
    }

    /// Starts from messages of before.
    #[must_use]
    pub fn with_messages(mut self, messages: impl IntoIterator<Item = Message>) -> Self {
        self.history.commit(messages.into_iter().map(Arc::new));
        self
    }

    /// Prompts the agent with this history.
    pub fn prompt(&mut self, input: impl Into<Input>) -> Prompt<'_> {
        Prompt::in_conversation(self.agent.clone(), self, input.into())
    }

    /// Goes on with a run of this conversation that stopped without a result.
    ///
    /// What the run then leaves takes the place of what the stopped run had left. A conversation that
    /// has gone on since then is left as it is: the prompt fails with
    /// [`RunErrorKind::Mismatch`](crate::RunErrorKind::Mismatch).
    ///
    /// ```
    /// use steadfast_core::{Agent, NoopRetryStrategy, testing::{Reply, ScriptedModel}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let model = ScriptedModel::new([Reply::throttled(), Reply::text("Hello Ada.")]);
    /// let agent = Agent::builder().model(model).retry_strategy(NoopRetryStrategy).build()?;
    /// let mut conversation = agent.conversation();
    /// let error = conversation.prompt("I am Ada.").await.unwrap_err();
    /// assert_eq!(conversation.history().len(), 0);
    ///
    /// conversation.resume(error.into_run()).await?;
    /// assert_eq!(conversation.history().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume(&mut self, run: Run) -> Prompt<'_> {
        Prompt::resume_conversation(self.agent.clone(), self, run)
    }

    /// Returns the messages so far.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Returns the agent.
    #[must_use]
    pub const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Whether the history is what the stopped run left, and nothing was added since.
    pub(crate) fn is_left_by(&self, run: &Run) -> bool {
        let kept = run.kept_messages(self.agent.0.failed_turn);
        let base = run.history().base();
        self.history.len() == base.len() + kept.len()
            && base
                .iter()
                .chain(&kept)
                .zip(self.history.iter())
                .all(|(left, here)| Arc::ptr_eq(left, here) || left == here)
    }

    /// Adds what a run leaves.
    ///
    /// For a run that was resumed, in place of what it had left before.
    pub(crate) fn commit(&mut self, resumed_from: Option<History>, messages: Vec<Arc<Message>>) {
        if let Some(base) = resumed_from {
            self.history = base;
        }
        self.history.commit(messages);
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("agent", &self.agent.name())
            .field("history", &self.history)
            .finish()
    }
}
