//! The history of a run: a committed part that is never moved, and a tail of the run's own.

use std::{iter::Chain, slice::Iter, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::message::Message;

/// The messages of a run, cheap to clone.
///
/// A clone shares both parts, so that a request or an event can carry the whole history without
/// copying it. Whoever keeps a clone makes the run copy its list of messages (not the messages)
/// when the next one is added.
///
/// ```
/// use steadfast_core::{History, Message};
///
/// let history = History::from_messages([Message::user("Hi"), Message::assistant("Hello!")]);
/// assert_eq!(history.len(), 2);
/// assert_eq!(history.last().map(|message| message.text().into_owned()).as_deref(), Some("Hello!"));
/// ```
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    committed: Arc<Vec<Arc<Message>>>,
    tail: Arc<Vec<Arc<Message>>>,
}

impl History {
    /// Makes a history of committed messages.
    pub fn from_messages(messages: impl IntoIterator<Item = Message>) -> Self {
        Self {
            committed: Arc::new(messages.into_iter().map(Arc::new).collect()),
            tail: Arc::default(),
        }
    }

    /// Returns all messages, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Message>> {
        self.into_iter()
    }

    /// Returns the latest message.
    #[must_use]
    pub fn last(&self) -> Option<&Arc<Message>> {
        self.tail.last().or_else(|| self.committed.last())
    }

    /// Returns the number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.committed.len() + self.tail.len()
    }

    /// Returns whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the messages that the run added.
    #[must_use]
    pub fn tail(&self) -> &[Arc<Message>] {
        &self.tail
    }

    /// The committed part alone: what the run started from.
    pub(crate) fn base(&self) -> Self {
        Self {
            committed: Arc::clone(&self.committed),
            tail: Arc::default(),
        }
    }

    pub(crate) fn push(&mut self, message: Arc<Message>) {
        Arc::make_mut(&mut self.tail).push(message);
    }

    /// Moves messages into the committed part.
    ///
    /// It copies only if someone still holds a clone.
    pub(crate) fn commit(&mut self, messages: impl IntoIterator<Item = Arc<Message>>) {
        Arc::make_mut(&mut self.committed).extend(messages);
    }
}

impl<'a> IntoIterator for &'a History {
    type Item = &'a Arc<Message>;
    type IntoIter = Chain<Iter<'a, Arc<Message>>, Iter<'a, Arc<Message>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.committed.iter().chain(self.tail.iter())
    }
}

/// Says how many messages there are and nothing of what they say.
impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History")
            .field("committed", &self.committed.len())
            .field("tail", &self.tail.len())
            .finish()
    }
}
