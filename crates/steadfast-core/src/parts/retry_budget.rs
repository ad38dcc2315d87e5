//! A retry budget in an agent: which calls earn, and which retries draw. It asks for none itself.

use steadfast_resilience::RetryBudget;

use crate::{
    event::CallRole,
    hook::{BEHIND_ALL_REFUSALS, BEHIND_THE_STRATEGY, HookProvider, HookRegistry},
    hook_event::{AfterModelCallEvent, BeforeModelCallEvent, CallsMade},
    model::{ModelError, ModelErrorKind},
    retry::RetryDecision,
};

/// Retries of all agents that share the budget are at most its share of their calls.
///
/// The first call of each turn earns; each further one that a strategy or a hook asks for draws, also
/// after an answer that a hook did not like. Once nothing is left the error stands, with words that name
/// the budget, or the answer does.
///
/// A hedge draws too, and is not made if nothing is left. One that somebody else refuses draws nothing.
///
/// Some retries draw nothing:
///
/// - after a throttle: the provider refused the call before it worked on it, and the answer to that is to
///   come later, by backoff, limiter or pacer. If it drew, a limit that a thousand agents share would end
///   most of their runs, and none has to;
/// - after an attempt that made no call, such as one that a [`CircuitBreaker`](steadfast_resilience::CircuitBreaker)
///   refused;
/// - a call of the next model of a [`Fallback`](crate::Fallback), which is another provider's traffic;
/// - one that the run's deadline leaves no time for.
///
/// A retry that is drawn and then cancelled in its wait stays counted.
///
/// ```
/// use steadfast_core::{Agent, ModelErrorKind, RetryBudget, testing::{Reply, ScriptedModel}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let budget = RetryBudget::builder().share(0.1).floor_per_minute(1).build()?;
/// let model = ScriptedModel::always(Reply::fail(ModelErrorKind::Server));
/// let agent = Agent::builder().model(model.clone()).hooks(budget.clone()).build()?;
///
/// let error = agent.prompt("Umbrella?").await.unwrap_err();
/// assert_eq!(model.calls(), 2); // and not six
/// assert!(error.hint().unwrap().starts_with("gave up since the retry budget is used up"));
/// # Ok(())
/// # }
/// ```
impl HookProvider for RetryBudget {
    fn register_hooks(&self, hooks: &mut HookRegistry) {
        let budget = self.clone();
        hooks
            .order(BEHIND_ALL_REFUSALS)
            .on(move |event: &mut BeforeModelCallEvent| {
                let (budget, calls) = (budget.clone(), event.calls.clone());
                event.hedge_if(move || DrawnHedge::draw(&budget, &calls));
            });
        let budget = self.clone();
        hooks
            .order(BEHIND_THE_STRATEGY)
            .on(move |event: &mut AfterModelCallEvent| {
                if event.called && event.facts.calls == 0 {
                    budget.count_call();
                }
                if draws(event) && !budget.take() {
                    refuse(&budget, event);
                }
            });
    }
}

/// A retry that was drawn for a hedge. Dropped, it is given back if there was none after all.
struct DrawnHedge {
    budget: RetryBudget,
    calls: CallsMade,
}

impl DrawnHedge {
    fn draw(budget: &RetryBudget, calls: &CallsMade) -> Result<Self, &'static str> {
        if !budget.take() {
            return Err("the retry budget is used up");
        }
        Ok(Self {
            budget: budget.clone(),
            calls: calls.clone(),
        })
    }
}

impl Drop for DrawnHedge {
    fn drop(&mut self) {
        if !self.calls.includes(CallRole::Hedge) {
            self.budget.give_back();
        }
    }
}

/// Whether a retry was asked for that adds to the traffic.
fn draws(event: &AfterModelCallEvent) -> bool {
    let is_throttle = |error: &ModelError| error.kind() == ModelErrorKind::Throttled;
    event.retry
        && event.called
        && !event.elsewhere
        && !event.error().is_some_and(is_throttle)
        && !event
            .delay()
            .is_some_and(|delay| event.facts.is_too_late(delay))
}

fn refuse(budget: &RetryBudget, event: &mut AfterModelCallEvent) {
    let share = budget.share() * 100.0;
    let floor = budget.floor_per_minute();
    tracing::warn!(
        run = %event.run(),
        attempt = event.attempt(),
        share,
        floor,
        "the retry budget is used up: the model is not called again"
    );
    let why = format!(
        "gave up since the retry budget is used up: retries may be {share:.0} % of the calls of a \
         minute, and {floor} beside"
    );
    event.decide(RetryDecision::give_up_because(why), None);
}
