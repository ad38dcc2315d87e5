//! What can go wrong before the simulator answers its first request.
//!
//! Once it runs, the simulator does not fail: whatever a client sends is answered on the wire.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Reports why a simulator could not be set up.
///
/// `Display` is one clause for a log line; [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address could not be bound.
    #[error("cannot listen on `{address}`")]
    #[non_exhaustive]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A field of a [`RateLimit`](crate::RateLimit) has a value that cannot work.
    #[error("rate limit: `{field}` cannot be `{value}`")]
    #[non_exhaustive]
    RateLimit {
        /// The name of the field.
        field: &'static str,
        /// The value that it had.
        value: String,
    },
    /// A fault is not spelt in a way that [`FaultScript`](crate::FaultScript) understands.
    #[error("unknown fault `{item}`: {problem}")]
    #[non_exhaustive]
    FaultSyntax {
        /// The item of the script that was not understood.
        item: String,
        /// What is wrong with it, and what is allowed there.
        problem: String,
    },
    /// A cassette could not be read from disk.
    #[error("cannot read cassette `{}`", path.display())]
    #[non_exhaustive]
    CassetteFile {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A document of a cassette does not describe an exchange.
    #[error("cassette `{}`, document {document}: {problem}", path.display())]
    #[non_exhaustive]
    CassetteDocument {
        /// The file.
        path: PathBuf,
        /// The number of the document in the file; the first is 1.
        document: usize,
        /// What is wrong with it.
        problem: String,
        /// What the YAML parser said, if it was the parser that refused.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl Error {
    /// Says what to do about the error, in one sentence.
    ///
    /// # Examples
    ///
    /// ```
    /// use steadfast_sim::FaultScript;
    ///
    /// let error = "429, cut@middle".parse::<FaultScript>().unwrap_err();
    ///
    /// assert!(error.to_string().starts_with("unknown fault `cut@middle`"));
    /// assert!(error.hint().contains("cut@text"));
    /// ```
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "port 0 lets the operating system choose a free port",
            Self::RateLimit { .. } => "a rate is a positive number, a burst at least 1",
            Self::FaultSyntax { .. } => {
                "faults are separated by commas, for example `429:retry-after=1, cut@text, 503*2`"
            }
            Self::CassetteFile { .. } => {
                "a cassette is a YAML file, or a folder that contains some"
            }
            Self::CassetteDocument { .. } => {
                "each document has `when` (method, path) and `then` (status, header, body)"
            }
        }
    }

    pub(crate) fn fault(item: &str, problem: impl Into<String>) -> Self {
        Self::FaultSyntax {
            item: item.to_owned(),
            problem: problem.into(),
        }
    }
}
