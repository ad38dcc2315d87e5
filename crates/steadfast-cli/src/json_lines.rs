//! What programs read: one JSON object a line on standard output, and nothing else there.

use std::{borrow::Cow, fmt::Write as _, io};

use serde::Serialize;

use crate::output::Channel;

/// Writes one object.
pub(crate) fn write(object: &impl Serialize, data: &mut Channel) -> io::Result<()> {
    let line = serde_json::to_string(object)?;
    let line = if data.is_terminal() {
        escaped(&line)
    } else {
        Cow::Borrowed(&*line)
    };
    data.write(&format!("{line}\n"))
}

/// Escapes the control characters that JSON allows as they are and that steer a terminal: they
/// stand in strings only, where the escape means the same.
fn escaped(json: &str) -> Cow<'_, str> {
    if !json.contains(char::is_control) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() {
            // Writing to a string does not fail.
            let _ = write!(escaped, "\\u{:04X}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use steadfast::AgentEvent;

    use super::*;
    use crate::output::{
        Device::{self, DumbTerminal, File, LiveTerminal},
        Output,
    };

    fn check(device: Device, text: &str, expected: &str) {
        let mut output = Output::in_memory(device, File);
        let event = json!({"type": "text_delta", "run": "0".repeat(32), "turn": 1, "attempt": 1,
                           "at_ms": 1.0, "text": text});
        let event: AgentEvent = serde_json::from_value(event).unwrap();

        write(&event, &mut output.data).unwrap();

        let line = output.data.written();
        assert!(line.contains(expected), "{device:?}: {line:?}");
        let read: Value = serde_json::from_str(line).unwrap();
        assert_eq!(read["text"], text, "{device:?}");
    }

    #[test]
    fn control_characters_are_escaped_on_terminals() {
        for device in [DumbTerminal, LiveTerminal] {
            check(device, "\u{9b}31m\u{7f}", r#""\u009B31m\u007F""#);
        }
        check(File, "\u{9b}31m", "\"\u{9b}31m\"");
        for device in [DumbTerminal, LiveTerminal, File] {
            check(device, "\u{1b}[2J\n søk 東京", r#""\u001b[2J\n søk 東京""#);
        }
    }
}
