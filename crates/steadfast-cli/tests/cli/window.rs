//! A terminal window with the program in it, and what its screen showed from moment to moment.

use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    process::{Child, Command},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::{
    fs::OFlags,
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::process::{PATIENCE, TestResult, send, wait};

/// What happened in a window.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) status: Option<i32>,
    /// Everything that was written, escapes included.
    pub(crate) written: String,
    /// The rows of the screen from line to line: after every line, and before every return to the
    /// beginning of one. However the bytes were cut on their way, these are the same.
    pub(crate) screens: Vec<Vec<String>>,
}

impl Watched {
    /// Returns the rows of the screen at the end.
    pub(crate) fn last_screen(&self) -> &[String] {
        self.screens.last().map_or(&[], Vec::as_slice)
    }
}

/// A window of so many rows and columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
}

impl Window {
    /// Watches a command in the window until it ends.
    pub(crate) fn watch(self, command: &mut Command) -> TestResult<Watched> {
        self.watch_until(command, "\0", Signal::INT)
    }

    /// Watches a command and sends it a signal once the screen shows a text.
    pub(crate) fn watch_until(
        self,
        command: &mut Command,
        sign: &str,
        signal: Signal,
    ) -> TestResult<Watched> {
        let (mut child, pieces) = self.start(command)?;
        let mut parser = vt100::Parser::new(self.rows.try_into()?, self.columns.try_into()?, 0);
        let (mut written, mut screens, mut signalled) = (Vec::new(), Vec::new(), false);
        let deadline = Instant::now() + PATIENCE;
        while let Ok(piece) =
            pieces.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            for part in parts(&piece) {
                parser.process(part);
                let rows = parser.screen().rows(0, self.columns);
                let rows: Vec<String> = rows.map(|row| row.trim_end().to_owned()).collect();
                if !signalled && rows.iter().any(|row| row.contains(sign)) {
                    send(&child, signal)?;
                    signalled = true;
                }
                screens.push(rows);
            }
            written.extend(piece);
        }
        Ok(Watched {
            status: wait(&mut child, Duration::from_secs(2))?,
            written: String::from_utf8_lossy(&written).into_owned(),
            screens,
        })
    }

    fn start(self, command: &mut Command) -> TestResult<(Child, mpsc::Receiver<Vec<u8>>)> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = ptsname(&master, Vec::new())?;
        let not_controlling = i32::try_from(OFlags::NOCTTY.bits())?;
        let terminal = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(not_controlling)
            .open(path.to_str()?)?;
        let size = Winsize {
            ws_row: self.rows,
            ws_col: self.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size)?;
        // Unless the command brings a terminal of its own.
        if !command
            .get_envs()
            .any(|(name, value)| name == "TERM" && value.is_some())
        {
            command.env("TERM", "xterm-256color");
        }
        let child = command
            .stdin(terminal.try_clone()?)
            .stdout(terminal.try_clone()?)
            .stderr(terminal)
            .spawn()?;
        // The command holds on to its end of the terminal, which would never seem closed.
        *command = Command::new("true");
        let (tx, rx) = mpsc::channel();
        let mut master = File::from(master);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end of the other side is an error on Linux and the end of the file elsewhere.
            while let Ok(length @ 1..) = master.read(&mut buffer) {
                let piece = buffer.get(..length).unwrap_or_default();
                if tx.send(piece.to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok((child, rx))
    }
}

/// Cuts a piece behind every end of a line and before every return to the beginning of one: where
/// what a line showed is about to scroll away or to be written over. Many writes may come as one
/// piece.
fn parts(piece: &[u8]) -> impl Iterator<Item = &[u8]> {
    piece
        .split_inclusive(|byte| *byte == b'\n')
        .flat_map(|line| line.chunk_by(|_, next| *next != b'\r'))
}
