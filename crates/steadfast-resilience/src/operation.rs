//! What an operation is called in events; it knows none of them.

use std::{borrow::Cow, sync::Arc};

/// What was said of an operation. What nobody said has a name all the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Operation {
    pub(crate) kind: Option<Cow<'static, str>>,
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) step_id: Option<String>,
}

impl Operation {
    pub(crate) fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("custom")
    }

    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("operation")
    }

    /// Says what was not said with what another says.
    pub(crate) fn or(mut self: Arc<Self>, other: &Arc<Self>) -> Arc<Self> {
        if *self == Self::default() {
            return other.clone();
        }
        let said = Arc::make_mut(&mut self);
        said.kind = said.kind.take().or_else(|| other.kind.clone());
        said.name = said.name.take().or_else(|| other.name.clone());
        said.step_id = said.step_id.take().or_else(|| other.step_id.clone());
        self
    }
}
