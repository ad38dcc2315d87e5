//! Lines of a body, as bytes arrive. What ends a line, and what it says, is its framing's.
//!
//! A line that lies in one chunk is handed out where it lies. Only one that is cut by the end of a
//! chunk is copied, as far as it has come.

use std::ops::Range;

use bytes::Bytes;

/// Cuts chunks into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    chunk: Bytes,
    /// Where in the chunk the next line begins.
    next: usize,
    /// What has come of a line in the chunks before.
    begun: Vec<u8>,
    /// Whether that line was handed out, and is forgotten with the next.
    taken: bool,
}

/// Where a line lies, without its end.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// In the chunk.
    Whole(Range<usize>),
    /// It came in several chunks.
    Joined,
}

impl Lines {
    /// Adds a chunk. The lines of the one before must have been taken.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.chunk = chunk;
        self.next = 0;
    }

    /// Returns the next byte of the chunk.
    #[cfg(any(feature = "anthropic", feature = "gemini", feature = "openai"))]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.chunk.get(self.next).copied()
    }

    /// Passes over the next byte of the chunk.
    #[cfg(any(feature = "anthropic", feature = "gemini", feature = "openai"))]
    pub(crate) fn skip(&mut self) {
        self.next += 1;
    }

    /// Returns the next line, and the byte that ends it; none if more bytes are needed.
    #[inline]
    pub(crate) fn next(
        &mut self,
        find_end: impl FnOnce(&[u8]) -> Option<usize>,
    ) -> Option<(Line, u8)> {
        if std::mem::take(&mut self.taken) {
            self.begun.clear();
        }
        let rest = self.chunk.get(self.next..)?;
        let Some(length) = find_end(rest) else {
            self.begun.extend_from_slice(rest);
            self.next = self.chunk.len();
            return None;
        };
        let end = *rest.get(length)?;
        let line = self.next..self.next + length;
        self.next = line.end + 1;
        if self.begun.is_empty() {
            return Some((Line::Whole(line), end));
        }
        self.begun.extend_from_slice(rest.get(..length)?);
        self.taken = true;
        Some((Line::Joined, end))
    }

    /// Returns what a line says.
    pub(crate) fn get(&self, line: &Line) -> &[u8] {
        match line {
            Line::Whole(place) => self.within(place.clone()),
            Line::Joined => &self.begun,
        }
    }

    /// Returns a part of the chunk.
    pub(crate) fn within(&self, place: Range<usize>) -> &[u8] {
        self.chunk.get(place).unwrap_or_default()
    }

    /// Returns how much has come of a line whose end has not.
    pub(crate) const fn begun(&self) -> usize {
        match self.taken {
            true => 0,
            false => self.begun.len(),
        }
    }

    /// Lets go of the chunk, whose lines were taken: it may be a part of something large.
    pub(crate) fn release(&mut self) {
        self.chunk = Bytes::new();
        self.next = 0;
    }

    /// Returns what has come behind the last line, and forgets it.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        let lines = std::mem::take(self);
        let mut rest = match lines.taken {
            true => Vec::new(),
            false => lines.begun,
        };
        rest.extend_from_slice(lines.chunk.get(lines.next..).unwrap_or_default());
        rest
    }

    /// Returns how much memory lines hold that are cut by the end of a chunk.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.begun.capacity()
    }
}
