//! The events at which hooks are asked. What a hook may steer is a public field or a method that
//! takes `&mut self`; the compiler refuses the rest.

mod invocation;
mod model_call;
mod tool_call;

pub use invocation::{AfterInvocationEvent, AgentInitializedEvent, BeforeInvocationEvent};
pub use model_call::{AfterModelCallEvent, BeforeModelCallEvent, ModelCallAcceptedEvent};
pub(crate) use model_call::{AttemptFacts, DeclaredWait, Held, WaitPlan};
pub use tool_call::{AfterToolCallEvent, AfterToolsEvent, BeforeToolCallEvent, BeforeToolsEvent};
