//! Parts for tests: a model that follows a script, and a runtime that keeps a journal in memory.
//!
//! ```
//! use steadfast_core::{Agent, testing::{Reply, ScriptedModel}};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = ScriptedModel::new([
//!     Reply::throttled(),
//!     Reply::text("half an ans").then_cut(),
//!     Reply::text("An answer."),
//! ]);
//! let agent = Agent::builder().model(model.clone()).build()?;
//! assert_eq!(agent.prompt("Question?").await?.text(), "An answer.");
//! assert_eq!(model.calls(), 3);
//! # Ok(())
//! # }
//! ```

mod journal;
mod scripted_model;

pub use journal::{Journal, JournalRuntime};
pub use scripted_model::{Reply, ScriptedModel};
