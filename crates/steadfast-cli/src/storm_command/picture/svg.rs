//! The few elements of SVG that a picture needs, written as text. Where they stand, others say.

use std::fmt::Write as _;

/// A picture that is being written.
#[derive(Debug, Default)]
pub(super) struct Svg(String);

impl Svg {
    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let text = escaped(text);
        self.line(&format!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        ));
    }

    /// Draws a rectangle at x and y, so wide and so high.
    pub(super) fn rect(&mut self, class: &str, [x, y, width, height]: [f64; 4]) {
        self.line(&format!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ));
    }

    pub(super) fn card(&mut self, width: f64, height: f64) {
        self.line(&format!(
            "<rect class=\"card\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\"/>"
        ));
    }

    pub(super) fn path(&mut self, class: &str, path: &str) {
        if !path.is_empty() {
            self.line(&format!("<path class=\"{class}\" d=\"{path}\"/>"));
        }
    }

    /// Everything until the group is closed counts from here.
    pub(super) fn open_group(&mut self, x: f64, y: f64) {
        self.line(&format!("<g transform=\"translate({x:.1} {y:.1})\">"));
    }

    pub(super) fn close_group(&mut self) {
        self.line("</g>");
    }

    pub(super) fn written(&self) -> &str {
        &self.0
    }

    fn line(&mut self, element: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{element}");
    }
}

/// Writes a text so that it is only text, whatever it says.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // XML has no way to write them.
            control if control.is_control() => escaped.push('\u{FFFD}'),
            plain => escaped.push(plain),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_be_elements() {
        let mut svg = Svg::default();

        svg.text("small", 1.0, 2.0, "<script a='b\"'>&\u{1b}");

        assert_eq!(
            svg.written(),
            "<text class=\"small\" x=\"1.0\" y=\"2.0\">&lt;script a=&apos;b&quot;&apos;&gt;&amp;\u{FFFD}</text>\n"
        );
    }
}
