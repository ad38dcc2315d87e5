//! Hooks that note what begins and what ends: what a `Before` hook opened, an `After` hook closes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use steadfast_core::{
    AfterModelCallEvent, AfterToolCallEvent, BeforeModelCallEvent, BeforeToolCallEvent,
    HookRegistry,
};

use crate::world::Log;

/// How often something was begun and ended.
#[derive(Debug, Default)]
pub(crate) struct Bracket {
    opened: AtomicUsize,
    closed: AtomicUsize,
}

impl Bracket {
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    pub(crate) fn closed(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }

    fn open(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    fn close(&self) {
        assert!(
            self.closed() < self.opened(),
            "only what was opened is closed"
        );
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Registers hooks that are asked before all others: one that fails keeps later ones from being asked.
pub(crate) fn register(hooks: &mut HookRegistry, log: &Arc<Log>) {
    let notes = || Arc::clone(log);
    let (began, ended) = (notes(), notes());
    let first = i32::MIN;
    hooks
        .order(first)
        .on(move |_: &mut BeforeModelCallEvent| began.attempts.open());
    hooks
        .order(first)
        .on(move |_: &mut AfterModelCallEvent| ended.attempts.close());
    let (began, ended) = (notes(), notes());
    hooks
        .order(first)
        .on(move |_: &mut BeforeToolCallEvent| began.tool_calls.open());
    hooks
        .order(first)
        .on(move |_: &mut AfterToolCallEvent| ended.tool_calls.close());
}
