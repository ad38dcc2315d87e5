//! The parts of `steadfast-resilience` as hooks: each plugs into an agent with `.hooks(part)`. What they
//! do is written there; what an attempt of an agent means to them is written here.

mod circuit_breaker;
mod hedge;
mod limiter;
mod retry_budget;

pub use circuit_breaker::ModelCircuitBreaker;
pub use hedge::Hedge;
pub use limiter::ModelLimiter;
