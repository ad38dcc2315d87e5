//! A conversation: a history that prompts go on from. Storing it is not done here.

use std::{fmt, sync::Arc};

use crate::{agent::Agent, history::History, input::Input, message::Message, prompt::Prompt};

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

    /// Adds what a run leaves.
    pub(crate) fn commit(&mut self, messages: Vec<Arc<Message>>) {
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
