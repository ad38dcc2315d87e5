//! A line of status: its words, their colours, and how much of it fits. What came from outside is
//! made harmless here: a model must not be able to steer the terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthChar;

/// A line that is put together of parts in different styles.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub(crate) struct StyledLine {
    parts: Vec<(Style, String)>,
}

/// What a line is about: a sign that says so without colour, and a colour besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Failed,
    Worked,
    Began,
    TakenBack,
    Ended,
    Noted,
}

impl Mark {
    const fn sign(self) -> &'static str {
        match self {
            Self::Failed => "✗",
            Self::Worked => "✓",
            Self::Began => "→",
            Self::TakenBack => "↶",
            Self::Ended => "■",
            Self::Noted => "·",
        }
    }

    const fn style(self) -> Style {
        let colour = match self {
            Self::Failed => AnsiColor::Yellow,
            Self::Worked | Self::Ended => AnsiColor::Green,
            Self::Began => AnsiColor::Cyan,
            Self::TakenBack => AnsiColor::Magenta,
            Self::Noted => return Style::new().dimmed(),
        };
        colour.on_default().bold()
    }
}

impl StyledLine {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Starts a line with a mark.
    pub(crate) fn marked(mark: Mark) -> Self {
        Self::new().part(mark.style(), mark.sign()).plain(" ")
    }

    /// Adds words in the terminal's own colour.
    pub(crate) fn plain(self, text: &str) -> Self {
        self.part(Style::new(), text)
    }

    /// Adds words that are to stand out.
    pub(crate) fn strong(self, text: &str) -> Self {
        self.part(Style::new().bold(), text)
    }

    /// Adds words of less weight.
    pub(crate) fn dim(self, text: &str) -> Self {
        self.part(Style::new().dimmed(), text)
    }

    /// Adds what is going on just now.
    pub(crate) fn live(self, text: &str) -> Self {
        self.part(AnsiColor::Cyan.on_default().bold(), text)
    }

    /// Adds the word that begins an error.
    pub(crate) fn alarm(self, text: &str) -> Self {
        self.part(AnsiColor::Red.on_default().bold(), text)
    }

    fn part(mut self, style: Style, text: &str) -> Self {
        self.parts.push((style, one_line(text)));
        self
    }

    /// Writes the line, in colour or not. Where there are not enough columns, `…` ends it.
    pub(crate) fn render(&self, colour: bool, columns: Option<usize>) -> String {
        let needed: usize = self.parts.iter().map(|(_, text)| width(text)).sum();
        let columns = columns.filter(|columns| needed > *columns);
        let mut left = columns.map_or(usize::MAX, |columns| columns.saturating_sub(1));
        let mut rendered = String::new();
        for (style, text) in &self.parts {
            let shown = fitting(text, left);
            left = left.saturating_sub(width(shown));
            if colour && *style != Style::new() {
                // Writing to a string does not fail.
                let _ = write!(rendered, "{style}{shown}{style:#}");
            } else {
                rendered.push_str(shown);
            }
            if shown.len() < text.len() {
                break;
            }
        }
        if columns.is_some() {
            rendered.push('…');
        }
        rendered
    }
}

/// Returns how many columns a text without line ends takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Returns the beginning of a text that fits into so many columns.
fn fitting(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += c.width().unwrap_or(0);
        used > columns
    });
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Shortens a text to so many columns; where something is left out, `…` says so.
pub(crate) fn shortened(text: &str, columns: usize) -> String {
    let text = one_line(text);
    if width(&text) <= columns {
        return text;
    }
    let kept = fitting(&text, columns.saturating_sub(1));
    format!("{}…", kept.trim_end())
}

/// Takes the control characters out of a text that a terminal is to show; line ends and tabs stay.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .filter(|c| *c != '\r')
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{FFFD}',
            c => c,
        })
        .collect()
}

/// The same for a text that must stay on one line.
fn one_line(text: &str) -> String {
    harmless(text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_by_columns_not_bytes() {
        let line = StyledLine::marked(Mark::Failed)
            .plain("søk 東京 now")
            .dim(" tail");

        assert_eq!(line.render(false, None), "✗ søk 東京 now tail");
        assert_eq!(line.render(false, Some(19)), "✗ søk 東京 now tail");
        assert_eq!(line.render(false, Some(10)), "✗ søk 東…");
        assert_eq!(line.render(false, Some(11)), "✗ søk 東京…");
    }

    #[test]
    fn colour_is_written_only_where_it_is_wanted() {
        let line = StyledLine::marked(Mark::Worked).plain("ok");

        assert_eq!(line.render(false, None), "✓ ok");
        assert_eq!(line.render(true, None), "\u{1b}[1m\u{1b}[32m✓\u{1b}[0m ok");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let attack = "a\u{1b}[2J\u{9b}31mb\r\nc\u{7}";

        assert_eq!(harmless(attack), "a\u{FFFD}[2J\u{FFFD}31mb\nc\u{FFFD}");
        assert!(
            !StyledLine::new()
                .plain(attack)
                .render(false, None)
                .contains(['\u{1b}', '\n'])
        );
    }

    #[test]
    fn shortened_texts_say_that_something_is_missing() {
        assert_eq!(shortened("short", 5), "short");
        assert_eq!(shortened("let me look it up", 8), "let me…");
    }
}
