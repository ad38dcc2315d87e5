//! Text that a terminal shows while it comes, and how to erase it. It knows where the cursor went;
//! writing is not its business.

use unicode_width::UnicodeWidthChar;

use crate::output::Extent;

/// What one attempt has said on the terminal so far. It begins at the beginning of a line.
#[derive(Debug)]
pub(crate) struct LiveText {
    text: String,
    columns: usize,
    column: usize,
    rows_below_start: usize,
    /// Whether every terminal agrees on how wide each character is.
    certain: bool,
}

impl LiveText {
    pub(crate) fn new(extent: Extent) -> Self {
        Self {
            text: String::new(),
            columns: extent.columns,
            column: 0,
            rows_below_start: 0,
            certain: true,
        }
    }

    /// Follows the cursor over a piece of text.
    pub(crate) fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
        for c in piece.chars() {
            match c {
                '\n' => {
                    self.rows_below_start += 1;
                    self.column = 0;
                }
                '\t' => {
                    self.column = (self.column / 8 + 1) * 8;
                    // What a tab does at the end of a row, every terminal decides for itself.
                    self.certain &= self.column < self.columns;
                }
                c => {
                    self.certain &= !is_shown_differently(c);
                    let width = c.width().unwrap_or(0);
                    // A terminal begins the next row with the character that does not fit, not
                    // with the one that fills the row.
                    if self.column + width > self.columns {
                        self.rows_below_start += 1;
                        self.column = 0;
                    }
                    self.column += width;
                }
            }
        }
    }

    /// Returns what was said.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether the cursor stands at the beginning of a line.
    pub(crate) const fn is_at_line_start(&self) -> bool {
        self.column == 0
    }

    /// Returns what erases the text from the terminal; none if that is not certain to hit it alone:
    /// it has scrolled away, the window was resized, or characters have an uncertain width.
    pub(crate) fn erasure(&self, now: Extent) -> Option<String> {
        if !self.certain || now.columns != self.columns || self.rows_below_start >= now.rows {
            return None;
        }
        Some(match self.rows_below_start {
            0 => "\r\u{1b}[J".to_owned(),
            rows => format!("\r\u{1b}[{rows}A\u{1b}[J"),
        })
    }
}

/// Says whether a character joins or changes others, which terminals show in different widths.
const fn is_shown_differently(c: char) -> bool {
    matches!(c,
        '\u{200D}' | '\u{FE00}'..='\u{FE0F}' | '\u{1F1E6}'..='\u{1F1FF}' | '\u{1F3FB}'..='\u{1F3FF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: Extent = Extent {
        columns: 10,
        rows: 5,
    };

    fn check(text: &str, rows_up: Option<usize>) {
        let mut live = LiveText::new(EXTENT);
        // However the pieces are cut, the place is the same.
        for c in text.chars() {
            live.push(&c.to_string());
        }
        let expected = rows_up.map(|rows| match rows {
            0 => "\r\u{1b}[J".to_owned(),
            rows => format!("\r\u{1b}[{rows}A\u{1b}[J"),
        });
        assert_eq!(live.erasure(EXTENT), expected, "{text:?}");
    }

    #[test]
    fn rows_are_counted_as_a_terminal_wraps() {
        check("", Some(0));
        check("short", Some(0));
        check("0123456789", Some(0));
        check("0123456789a", Some(1));
        check("0123456789\nb", Some(1));
        check("a\n\nb", Some(2));
        check("01234567東京", Some(1));
        check("012345678東", Some(1));
        check("a\tb", Some(0));
        check("a\tb\tc\td", None);
    }

    #[test]
    fn text_that_may_not_be_hit_is_left_alone() {
        check("a\nb\nc\nd\ne", Some(4));
        check("a\nb\nc\nd\ne\nf", None);
        check("flag: \u{1F1F3}\u{1F1F4}", None);

        let mut live = LiveText::new(EXTENT);
        live.push("hello");
        let resized = Extent {
            columns: 9,
            ..EXTENT
        };
        assert_eq!(live.erasure(resized), None);
    }
}
