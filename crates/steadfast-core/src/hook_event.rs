//! The events at which hooks are asked. What a hook may steer is a public field or a method that
//! takes `&mut self`; the compiler refuses the rest.

mod invocation;
mod model_call;
mod permit;
mod tool_call;

pub use invocation::{AfterInvocationEvent, AgentInitializedEvent, BeforeInvocationEvent};
pub use model_call::{AfterModelCallEvent, BeforeModelCallEvent};
pub(crate) use model_call::{AttemptFacts, WaitPlan};
pub(crate) use permit::{Admission, DeclaredWait, Permits};
pub use tool_call::{AfterToolCallEvent, AfterToolsEvent, BeforeToolCallEvent, BeforeToolsEvent};
