//! The events at which hooks are asked. What a hook may steer is a public field or a method that
//! takes `&mut self`; the compiler refuses the rest.

mod after_model_call;
mod before_model_call;
mod invocation;
mod model_call_accepted;
mod permit;
mod tool_call;

pub use after_model_call::AfterModelCallEvent;
pub(crate) use after_model_call::{AttemptFacts, WaitPlan};
pub use before_model_call::BeforeModelCallEvent;
pub use invocation::{AfterInvocationEvent, AgentInitializedEvent, BeforeInvocationEvent};
pub use model_call_accepted::ModelCallAcceptedEvent;
pub(crate) use permit::{Admission, CallsMade, DeclaredWait, Held, Permits};
pub use tool_call::{AfterToolCallEvent, AfterToolsEvent, BeforeToolCallEvent, BeforeToolsEvent};
