//! How the program ends, and the exit status that says so. The list in `--help` is kept here too.

use std::process::ExitCode;

/// The exit statuses, for the end of a help page.
pub(crate) const EXIT_STATUSES: &str = "\
Exit status:
  0    a result, also one that a limit cut short: the last line says so
  1    force stop: an error ended the run
  2    bad usage or configuration
  130  cancelled with Ctrl-C";

/// The exit statuses of the simulator, which has no result to reach.
pub(crate) const EXIT_STATUSES_OF_SIM: &str = "\
Exit status:
  0    ended with Ctrl-C or SIGTERM
  2    bad usage or configuration";

/// The exit statuses of explaining, which finds an error everywhere but in itself.
pub(crate) const EXIT_STATUSES_OF_EXPLAIN: &str = "\
Exit status:
  0    explained, whatever the answer was
  2    bad usage or configuration";

/// The exit statuses of a storm, in which strategies lose and nobody else.
pub(crate) const EXIT_STATUSES_OF_STORM: &str = "\
Exit status:
  0    compared, whoever lost
  1    a real storm differs from the computed one, a bar is not reached, or the
       table or the picture cannot be written
  2    bad usage or configuration
  130  cancelled with Ctrl-C";

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// There was a result, or nobody wants to read it any more.
    Done,
    /// An error ended the run.
    ForceStop,
    /// The command line or the configuration cannot work.
    Refused,
    /// Somebody asked for the end.
    Cancelled,
}

impl Ending {
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::ForceStop => 1,
            Self::Refused => 2,
            Self::Cancelled => 130,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending.status())
    }
}
