//! Events for programs: one JSON object a line on standard output, and nothing else there.

use std::io;

use steadfast::AgentEvent;

use crate::output::Channel;

/// Writes one event.
pub(crate) fn write(event: &AgentEvent, data: &mut Channel) -> io::Result<()> {
    let mut line = serde_json::to_string(event)?;
    line.push('\n');
    data.write(&line)
}
