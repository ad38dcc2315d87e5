//! The event between a call and its answer: the provider has accepted it. What is answered is not known.

use super::permit::Permits;
use crate::{
    event::{EventScope, scoped},
    model::{CalledModel, RateLimits},
};

scoped!(ModelCallAcceptedEvent);

/// The provider accepted the call, and its answer begins. Happens at most once for every attempt.
///
/// A provider that refuses a call does so at once, long before an answer would be complete. So this is
/// where a limiter that is shared by several agents learns soonest that a call went through. A
/// model that gives its answer whole may say it only with the answer. Of two calls of a hedged attempt
/// it is the one that was accepted first, whichever answers.
///
/// While a hook awaits here nobody listens to the model, so that time is no silence of the model's.
///
/// ```
/// use steadfast_core::{Agent, ModelCallAcceptedEvent, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let agent = Agent::builder()
///     .model(ScriptedModel::new([Reply::text("Yes.")]))
///     .on(|event: &mut ModelCallAcceptedEvent| {
///         if let Some(requests) = event.rate_limits().and_then(|limits| limits.requests) {
///             println!("{} requests are left", requests.remaining);
///         }
///     })
///     .build()?;
/// # agent.prompt("Umbrella?").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ModelCallAcceptedEvent {
    pub(crate) scope: EventScope,
    pub(crate) model: CalledModel,
    pub(crate) rate_limits: Option<Box<RateLimits>>,
    pub(crate) permits: Permits,
}

impl ModelCallAcceptedEvent {
    /// Returns the name of the model that was called.
    #[must_use]
    pub fn model(&self) -> &str {
        self.model.0.name()
    }

    /// Returns what the provider said of its limits, if it said something.
    #[must_use]
    pub fn rate_limits(&self) -> Option<&RateLimits> {
        self.rate_limits.as_deref()
    }

    /// Returns what a wait before the call has given, or its admission: the latest of this type that is
    /// accepted.
    ///
    /// It stays where it is until the attempt has ended, or a hook behind the call takes it: see
    /// [`AfterModelCallEvent::take_permit`](crate::AfterModelCallEvent::take_permit).
    ///
    /// ```
    /// use steadfast_core::{
    ///     Agent, BeforeModelCallEvent, ModelCallAcceptedEvent, testing::{Reply, ScriptedModel},
    /// };
    ///
    /// struct Ticket(u32);
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let agent = Agent::builder()
    ///     .model(ScriptedModel::new([Reply::text("Yes.")]))
    ///     .on(|event: &mut BeforeModelCallEvent| event.admit_if(|_| Ok(Ticket(7))))
    ///     .on(|event: &mut ModelCallAcceptedEvent| {
    ///         assert!(event.permit(|ticket: &Ticket| ticket.0 == 7).is_some());
    ///     })
    ///     .build()?;
    /// agent.prompt("Umbrella?").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn permit<T: 'static>(&mut self, is_mine: impl Fn(&T) -> bool) -> Option<&mut T> {
        self.permits.find(is_mine)
    }
}
