//! Everything that the program prints goes through here: data to standard output, the rest to
//! standard error. What it says, others decide.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use terminal_size::{Height, Width, terminal_size_of};

use crate::{ending::Ending, refusal::Refusal, styled_line::StyledLine};

/// How wide a terminal is that does not say.
const USUAL_COLUMNS: usize = 80;

/// How high a terminal is that does not say.
const USUAL_ROWS: usize = 24;

/// Goes to the beginning of a terminal's line and erases it.
const BEGIN_AGAIN: &str = "\r\u{1b}[K";

/// Standard output and standard error.
#[derive(Debug)]
pub(crate) struct Output {
    /// Where data goes.
    pub(crate) data: Channel,
    /// Where everything else goes.
    pub(crate) status: Channel,
}

/// One of the two, with what it can show.
#[derive(Debug)]
pub(crate) struct Channel {
    sink: Sink,
    colour: bool,
    device: Device,
    /// Whether anything was written.
    used: bool,
}

#[derive(Debug)]
enum Sink {
    Stdout,
    Stderr,
    #[cfg(test)]
    Memory(String, Extent),
}

/// What stands at the other end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    /// A file, or another program.
    File,
    /// A terminal that only prints (`TERM=dumb`), or so it says: what controls it is kept from it.
    DumbTerminal,
    /// A terminal whose lines can be written again.
    LiveTerminal,
}

impl Device {
    fn of(stream: &impl IsTerminal) -> Self {
        let smart = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        match (stream.is_terminal(), smart) {
            (false, _) => Self::File,
            (true, false) => Self::DumbTerminal,
            (true, true) => Self::LiveTerminal,
        }
    }
}

/// How much a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

impl Output {
    /// The streams of this process, and what the environment wants of them (`NO_COLOR`, `TERM`).
    pub(crate) fn of_process() -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        Self {
            data: Channel {
                device: Device::of(&stdout),
                colour: AutoStream::choice(&stdout) != ColorChoice::Never,
                sink: Sink::Stdout,
                used: false,
            },
            status: Channel {
                device: Device::of(&stderr),
                colour: AutoStream::choice(&stderr) != ColorChoice::Never,
                sink: Sink::Stderr,
                used: false,
            },
        }
    }

    /// Returns whether a person sees both in one place.
    pub(crate) const fn is_one_terminal(&self) -> bool {
        self.data.is_live() && self.status.is_live()
    }

    /// Says what is wrong and what to do about it, before anything was done.
    pub(crate) fn refuse(&mut self, refusal: &Refusal) -> Ending {
        self.error(refusal.problem(), Some(refusal.hint()));
        Ending::Refused
    }

    /// Says what went wrong, and after a blank line what to do about it.
    pub(crate) fn error(&mut self, problem: &str, hint: Option<&str>) {
        self.status
            .line(&StyledLine::new().alarm("error:").plain(" ").plain(problem));
        if let Some(hint) = hint {
            self.status.line(&StyledLine::new());
            self.status
                .line(&StyledLine::new().strong("hint:").plain(" ").plain(hint));
        }
    }

    /// Says that data could not be written, unless its reader has gone away with what it wanted, as
    /// `head` does.
    pub(crate) fn unwritten(&mut self, error: &io::Error) -> Ending {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Ending::Done;
        }
        let hint = "look at where standard output goes";
        self.error(&format!("cannot write the answer: {error}"), Some(hint));
        Ending::ForceStop
    }

    /// Shows a page of help, the version, or how the program is used.
    pub(crate) fn tell(&mut self, told: &clap::Error) -> Ending {
        let (channel, ending) = if told.use_stderr() {
            (&mut self.status, Ending::Refused)
        } else {
            (&mut self.data, Ending::Done)
        };
        let page = told.render();
        let page = if channel.colour {
            page.ansi().to_string()
        } else {
            page.to_string()
        };
        // Whoever does not read the page to its end has seen enough of it.
        let _ = channel.write(&page);
        ending
    }
}

impl Channel {
    /// Returns whether lines can be written again, as on a terminal.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.device, Device::LiveTerminal)
    }

    /// Returns whether what is written may steer a terminal.
    pub(crate) const fn is_terminal(&self) -> bool {
        !matches!(self.device, Device::File)
    }

    /// Returns whether anything was written.
    pub(crate) const fn is_used(&self) -> bool {
        self.used
    }

    /// Writes a text and sends it on its way.
    pub(crate) fn write(&mut self, text: &str) -> io::Result<()> {
        self.used = true;
        match &mut self.sink {
            Sink::Stdout => flushed(io::stdout().lock(), text),
            Sink::Stderr => flushed(io::stderr().lock(), text),
            #[cfg(test)]
            Sink::Memory(written, _) => {
                written.push_str(text);
                Ok(())
            }
        }
    }

    /// Writes a line of status. That nobody reads it is no reason to stop.
    pub(crate) fn line(&mut self, line: &StyledLine) {
        // Over what a terminal shows of keys that were pressed, such as `^C`.
        let start = if self.is_live() { BEGIN_AGAIN } else { "" };
        let rendered = line.render(self.colour, None);
        let _ = self.write(&format!("{start}{rendered}\n"));
    }

    /// Writes a line in place of the one where the cursor is, and leaves the cursor there.
    pub(crate) fn rewrite(&mut self, line: &StyledLine) {
        // Enough columns stay free for a `^C`, which would otherwise begin a new row.
        let columns = self.extent().columns.saturating_sub(3);
        let rendered = line.render(self.colour, Some(columns));
        let _ = self.write(&format!("{BEGIN_AGAIN}{rendered}"));
    }

    /// Returns how much the terminal shows just now.
    pub(crate) fn extent(&self) -> Extent {
        let size = match &self.sink {
            Sink::Stdout => terminal_size_of(io::stdout()),
            Sink::Stderr => terminal_size_of(io::stderr()),
            #[cfg(test)]
            Sink::Memory(_, extent) => return *extent,
        };
        match size {
            Some((Width(columns), Height(rows))) if columns > 0 && rows > 0 => Extent {
                columns: columns.into(),
                rows: rows.into(),
            },
            _ => Extent {
                columns: USUAL_COLUMNS,
                rows: USUAL_ROWS,
            },
        }
    }
}

fn flushed(mut stream: impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// Output that tests can read.
#[cfg(test)]
impl Output {
    pub(crate) fn in_memory(data: Device, status: Device) -> Self {
        let channel = |device| Channel {
            sink: Sink::Memory(
                String::new(),
                Extent {
                    columns: 80,
                    rows: 24,
                },
            ),
            colour: false,
            device,
            used: false,
        };
        Self {
            data: channel(data),
            status: channel(status),
        }
    }
}

#[cfg(test)]
impl Channel {
    pub(crate) fn written(&self) -> &str {
        match &self.sink {
            Sink::Memory(written, _) => written,
            Sink::Stdout | Sink::Stderr => "",
        }
    }
}
