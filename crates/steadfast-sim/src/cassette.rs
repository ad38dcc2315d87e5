//! Recorded traffic: exchanges that a real provider answered, read from YAML.
//!
//! It records nothing, and it does not look at what a request says: the next recorded answer for
//! the path is the answer.

mod document;
mod player;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::Error;

pub(crate) use player::{Player, decoded};

/// Holds recorded exchanges, to be answered instead of the simulator's own answers.
///
/// A file is a list of YAML documents, one per exchange:
///
/// ```yaml
/// when:
///   method: POST
///   path: /v1/chat/completions
/// then:
///   status: 200
///   header:
///   - name: content-type
///     value: text/event-stream
///   body: "data: [DONE]\n\n"     # or base64, together with `body_encoding: base64`
/// ```
///
/// A request gets the first exchange that is not used yet, has the same method and the same path,
/// or failing that the same last two segments of the path, because base URLs differ between
/// vendors. The key and the body of a request do not matter, nor does its query. A request that a
/// fault hits does not use up its exchange, so the retry gets it. When nothing is left, the answer
/// is a 404 that names the cassette.
///
/// The body is sent in pieces, cut at pseudo-random places.
///
/// # Examples
///
/// ```
/// use steadfast_sim::{Cassette, Simulator};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("models.yaml");
/// std::fs::write(&file, "\
/// when: {method: GET, path: /v1/models}
/// then: {status: 200, body: recorded}
/// ")?;
///
/// let sim = Simulator::builder().cassette(Cassette::load(&file)?).start().await?;
/// let answer = reqwest::get(format!("{}/v1/models", sim.url())).await?;
///
/// assert_eq!(answer.text().await?, "recorded");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Cassette {
    name: String,
    exchanges: Vec<RecordedExchange>,
    seed: u64,
}

/// Holds one recorded request and its answer.
///
/// # Examples
///
/// ```
/// use steadfast_sim::Cassette;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("one.yaml");
/// std::fs::write(&file, "when: {method: GET, path: /a}\nthen: {status: 503}\n")?;
///
/// let cassette = Cassette::load(&file)?;
///
/// assert_eq!(cassette.exchanges()[0].path(), "/a");
/// assert_eq!(cassette.exchanges()[0].status(), 503);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq)]
pub struct RecordedExchange {
    method: Method,
    path: String,
    request_body: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Cassette {
    /// Reads a file, or all `.yaml` and `.yml` files in a folder and below, in sorted order.
    ///
    /// # Errors
    ///
    /// [`Error::CassetteFile`] if something cannot be read or a folder contains no such file, and
    /// [`Error::CassetteDocument`] if a document does not describe an exchange.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut files = Vec::new();
        if path.is_dir() {
            collect(path, &mut files)?;
            files.sort();
            if files.is_empty() {
                let problem = std::io::Error::other("no .yaml or .yml file in this folder");
                return Err(unreadable(path)(problem));
            }
        } else {
            files.push(path.to_owned());
        }
        let mut exchanges = Vec::new();
        for file in files {
            let text = std::fs::read(&file).map_err(unreadable(&file))?;
            exchanges.extend(document::exchanges(&file, &text)?);
        }
        Ok(Self {
            name: path.display().to_string(),
            exchanges,
            seed: 0,
        })
    }

    /// Sets the seed of the places at which bodies are cut; the default is 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Returns the exchanges, in the order in which they are used.
    #[must_use]
    pub fn exchanges(&self) -> &[RecordedExchange] {
        &self.exchanges
    }
}

impl RecordedExchange {
    /// Returns the method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the path of the request.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the body of the request as it was recorded.
    #[must_use]
    pub fn request_body(&self) -> &str {
        &self.request_body
    }

    /// Returns the status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers of the answer.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the body of the answer.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// Shows what was asked and how long the answer is; prompts and answers do not belong into logs.
impl std::fmt::Debug for RecordedExchange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RecordedExchange")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("status", &self.status)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish_non_exhaustive()
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let entry = entry.map_err(unreadable(folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(unreadable(&path))?;
        // Links to folders are not followed, so a link to a parent cannot go round for ever.
        if kind.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::CassetteFile { path, source }
}
