//! What the simulator remembers of a request, for tests that ask what a client really sent.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use crate::Fault;

/// Records one request and what became of it.
///
/// `Debug` leaves out headers and body: they contain keys and prompts.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sim = steadfast_sim::Simulator::start().await?;
/// reqwest::get(format!("{}/v1/models", sim.url())).await?;
///
/// let seen = &sim.requests()[0];
///
/// assert_eq!(seen.path, "/v1/models");
/// assert_eq!(seen.status.unwrap(), 401); // nobody sent a key
/// assert_eq!(seen.fault, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct SeenRequest {
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, or null if it was not JSON.
    pub body: Value,
    /// The status that was sent; none if the connection was closed or left hanging before.
    pub status: Option<StatusCode>,
    /// The fault that was applied.
    pub fault: Option<Fault>,
    /// When the request came, since the simulator started.
    pub at: Duration,
}

impl fmt::Debug for SeenRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SeenRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("status", &self.status)
            .field("fault", &self.fault)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
