//! The queue between a run and whoever streams it: bounded, within one task, without a channel.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use crate::event::AgentEvent;

/// How many events wait for a slow consumer before the run waits for it.
const CAPACITY: usize = 32;

/// Events on their way out.
///
/// The run and its consumer usually share a task, so that a lock is never contended; a run on an
/// engine may live on another thread.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<AgentEvent>,
    producer: Option<Waker>,
}

impl EventQueue {
    /// No code of others runs under the lock, so poison cannot mean a broken state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event, whether there is room or not: hooks and tools cannot wait here.
    pub(crate) fn push(&self, event: AgentEvent) {
        self.lock().events.push_back(event);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().events.is_empty()
    }

    /// Takes the oldest event.
    pub(crate) fn pop(&self) -> Option<AgentEvent> {
        let (event, producer) = {
            let mut state = self.lock();
            let event = state.events.pop_front();
            let producer = if state.events.len() < CAPACITY {
                state.producer.take()
            } else {
                None
            };
            (event, producer)
        };
        if let Some(producer) = producer {
            producer.wake();
        }
        event
    }

    /// Waits until the consumer has caught up.
    ///
    /// Called before each delta, so that a model that is faster than the consumer does not fill the
    /// memory.
    pub(crate) async fn room(&self) {
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.events.len() < CAPACITY {
                return Poll::Ready(());
            }
            state.producer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
