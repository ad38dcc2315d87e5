//! An item that has begun and not ended: what was said of it already.

/// An item of which something has come.
pub(super) struct OpenItem {
    pub(super) index: usize,
    /// The server's identity of the item, which is not that of a call.
    pub(super) id: Option<String>,
    /// Whether any piece of it was said.
    pub(super) said: bool,
    /// In which form thoughts come.
    pub(super) thoughts: Option<&'static str>,
    /// To which part of the item the latest piece belonged.
    pub(super) part: Option<usize>,
}

impl OpenItem {
    pub(super) const fn new(index: usize) -> Self {
        Self {
            index,
            id: None,
            said: false,
            thoughts: None,
            part: None,
        }
    }
}
