//! The simulator itself: how it is set up, started, asked and stopped.
//!
//! What it answers is decided in `reception.rs`; connections are in `server.rs`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::reception::{Answerer, Reception, Watcher};
use crate::{
    Answer, Cassette, ChatRequest, Error, FaultScript, HintStyle, RateLimit, SeenRequest, Wire,
    server,
};

/// Runs a local server that behaves like a model provider.
///
/// It answers until it is stopped or dropped. Dropping closes the port and all connections, as
/// soon as the runtime gets to it; [`Simulator::stop`] waits until that has happened.
///
/// # Examples
///
/// ```
/// use steadfast_sim::{RateLimit, Simulator};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sim = Simulator::builder()
///     .rate_limit(RateLimit::per_second(20.0).burst(20))
///     .faults("429, cut@text".parse()?)
///     .start()
///     .await?;
///
/// assert!(sim.base_url().ends_with("/v1"));
/// assert!(sim.requests().is_empty());
/// sim.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    reception: Arc<Reception>,
    server: JoinHandle<()>,
}

impl Simulator {
    /// Starts to describe a simulator.
    pub fn builder() -> SimulatorBuilder {
        SimulatorBuilder::default()
    }

    /// Starts a simulator without limits and faults, on a free port.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if there is no free port.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, nothing was started.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// Returns the address of the server without a path, `http://127.0.0.1:PORT`.
    ///
    /// This is what a client of Anthropic's or Ollama's takes as base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what an OpenAI client takes as base URL, `http://127.0.0.1:PORT/v1`.
    ///
    /// For the clients of other vendors see [`Simulator::base_url_for`].
    #[must_use]
    pub fn base_url(&self) -> String {
        self.base_url_for(Wire::OpenAiChat)
    }

    /// Returns what the vendor's own client takes as base URL: with `/v1` for OpenAI, without a
    /// path for the others.
    #[must_use]
    pub fn base_url_for(&self, wire: Wire) -> String {
        format!("{}{}", self.url(), wire.dialect().base_path())
    }

    /// Returns the address on which the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the requests so far, in the order in which they were decided.
    ///
    /// A request is in the list before the first byte of its answer is sent. Only the last ones
    /// are kept: see [`SimulatorBuilder::keep_requests`].
    #[must_use]
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.reception.requests()
    }

    /// Stops the server and waits until its port is closed and its tasks are gone.
    ///
    /// No new connection is accepted. Answers that are being sent have one second to finish;
    /// those that would never end (`hang`, `keepalive`) are cut off at once.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the server stops as if the simulator had been dropped.
    pub async fn stop(mut self) {
        self.reception.stopping().cancel();
        // The server's task only fails if it was aborted, and then it has stopped as well.
        let _ = (&mut self.server).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // The task owns the listener and all connections, so they go with it.
        self.server.abort();
    }
}

/// Describes a simulator before it is started.
///
/// # Examples
///
/// ```
/// use steadfast_sim::{Answer, HintStyle, RateLimit, Simulator};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sim = Simulator::builder()
///     .rate_limit(RateLimit::per_minute(600.0))
///     .hint(HintStyle::Exact)
///     .answer(|request| Answer::text(format!("{} says hello", request.model())))
///     .start()
///     .await?;
/// # sim.stop().await;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct SimulatorBuilder {
    address: SocketAddr,
    rate_limit: Option<RateLimit>,
    hint: HintStyle,
    faults: FaultScript,
    cassette: Option<Cassette>,
    chunk_delay: Duration,
    kept_requests: usize,
    answerer: Answerer,
    watcher: Option<Watcher>,
}

impl Default for SimulatorBuilder {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            rate_limit: None,
            hint: HintStyle::default(),
            faults: FaultScript::default(),
            cassette: None,
            chunk_delay: Duration::ZERO,
            kept_requests: 10_000,
            answerer: Box::new(Answer::built_in),
            watcher: None,
        }
    }
}

impl SimulatorBuilder {
    /// Sets the address; the default is a free port of 127.0.0.1.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Refuses requests beyond a rate; without this there is no limit.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// Sets how refused requests are told when to come back.
    pub fn hint(mut self, style: HintStyle) -> Self {
        self.hint = style;
        self
    }

    /// Sets what goes wrong, one fault per request.
    pub fn faults(mut self, script: FaultScript) -> Self {
        self.faults = script;
        self
    }

    /// Replays recorded exchanges instead of answering.
    pub fn cassette(mut self, cassette: Cassette) -> Self {
        self.cassette = Some(cassette);
        self
    }

    /// Sets a pause between the chunks of an answer; the default is none.
    pub fn chunk_delay(mut self, delay: Duration) -> Self {
        self.chunk_delay = delay;
        self
    }

    /// Sets how many requests are remembered; the default is the last 10 000.
    ///
    /// For servers that run for long: bodies are remembered as well, and take memory.
    pub fn keep_requests(mut self, count: usize) -> Self {
        self.kept_requests = count;
        self
    }

    /// Sets what the model says.
    ///
    /// Without this, the simulator calls the first tool that a request offers, with arguments made
    /// from its schema; repeats what the tools said if the last messages are tool results; and
    /// quotes the prompt if there are no tools. See [`Answer::built_in`].
    ///
    /// The function is called once for each request that is in order, also where a fault takes the place
    /// of its answer, and must not block.
    pub fn answer<F>(mut self, answerer: F) -> Self
    where
        F: Fn(&ChatRequest) -> Answer + Send + Sync + 'static,
    {
        self.answerer = Box::new(answerer);
        self
    }

    /// Tells of each request as it is concluded, before its answer is sent.
    ///
    /// The function must not block.
    pub fn on_request<F>(mut self, watcher: F) -> Self
    where
        F: Fn(&SeenRequest) + Send + Sync + 'static,
    {
        self.watcher = Some(Box::new(watcher));
        self
    }

    /// Starts the server, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::RateLimit`] if the rate or the burst cannot work, [`Error::Listen`] if the address
    /// cannot be bound.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, nothing was started.
    pub async fn start(self) -> Result<Simulator, Error> {
        let rate_limit = self.rate_limit.map(RateLimit::check).transpose()?;
        let refused = |source| Error::Listen {
            address: self.address,
            source,
        };
        let listener = TcpListener::bind(self.address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let reception = Reception::new(rate_limit, self.hint, self.faults, self.answerer)
            .with_cassette(self.cassette)
            .with_chunk_delay(self.chunk_delay)
            .with_kept_requests(self.kept_requests)
            .with_watcher(self.watcher);
        let reception = Arc::new(reception);
        let server = tokio::spawn(server::serve(listener, Arc::clone(&reception)));
        Ok(Simulator {
            address,
            reception,
            server,
        })
    }
}

impl std::fmt::Debug for SimulatorBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SimulatorBuilder")
            .field("address", &self.address)
            .field("rate_limit", &self.rate_limit)
            .field("hint", &self.hint)
            .field("faults", &self.faults)
            .field("cassette", &self.cassette)
            .field("chunk_delay", &self.chunk_delay)
            .field("kept_requests", &self.kept_requests)
            .finish_non_exhaustive()
    }
}
