//! A pacer: what agents share that call one provider, whose limit nobody knows. It learns the limit
//! from what is refused and lets calls go in the order of their age. It makes no call and retries none.

mod estimate;
mod history;
mod line;
mod paced;
mod pacing;
mod pass;
mod places;
mod replay;
mod slow_start;
mod told;
mod weather;

use std::{fmt, time::Duration};

use crate::{
    queue::{Gate, Queue, Turn},
    sync::{Arc, Instant},
};
use history::SendId;
use line::{InLine, Line};
use pacing::Pacing;

pub use pass::Pass;

/// Lets calls go as fast as a provider accepts them, without being told how fast that is.
///
/// All calls to one provider, account and model go through one pacer, in the order of their age: the
/// oldest first. A call that is refused asks to be let go again with the age that it has, so it loses
/// no place; and what the refusal says of the limit serves all.
///
/// - At first nothing is held back but the number of calls that nobody has answered yet, which grows
///   with each answer. Where the provider never throttles, that is all.
/// - The first refusal ends this. From then on the calls that were accepted between two refusals,
///   divided by the time between them, are the rate: no guess, and no step size.
/// - While calls wait and none is refused, the rate is tried ever faster, so that a limit that rises is
///   found. Behind a refusal one call goes alone, and the others when it was accepted.
/// - Whether refused calls use the limit up too, whether what counts is how many calls are under way,
///   and whether others take from the same limit, is found by replaying what was sent against each.
/// - A provider that is overloaded gets one call every few seconds, until one is accepted; then calls go
///   at the rate that had worked before, and faster from there.
/// - What the server says counts: a hint closes the gate for all until then, and a rate on which its
///   answers agree is taken as it is, until calls are refused at it.
///
/// Clones are the same pacer. It has no task of its own and needs a runtime of tokio with its timer.
///
/// The rate is the closed form of a token bucket's likelihood; the rest was measured in a simulation of
/// thousands of agents, which `steadfast storm` repeats.
///
/// ```
/// use steadfast_resilience::{Pacer, secs};
/// use tokio::time::Instant;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let mut answers = [Err(secs(2)), Ok("Rain.")].into_iter();
/// # let mut call = || answers.next().unwrap();
/// let pacer = Pacer::new();
/// let born = Instant::now();
/// let answer = loop {
///     let mut pass = pacer.admit(born).await;
///     match call() {
///         Ok(answer) => {
///             pass.accepted(); // as soon as it is known; the pass is kept until the answer's end
///             break answer;
///         }
///         Err(retry_after) => pass.throttled(Some(retry_after)),
///     }
/// };
/// assert_eq!(answer, "Rain.");
/// assert!(born.elapsed() >= secs(2));
/// # }
/// ```
#[derive(Clone)]
#[doc(alias = "adaptive")]
#[doc(alias = "aimd")]
pub struct Pacer(Arc<Queue<Line>>);

impl Pacer {
    /// Makes a pacer that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::with_seed(fastrand::u64(..))
    }

    /// Makes one whose random numbers are fixed, for tests: it spreads its waits in the same way.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self(Arc::new(Queue::new(Line::new(Pacing::new(seed)))))
    }

    /// Waits until a call that is as old as this may go: behind all that are older.
    ///
    /// A call's age is counted from when it was first wanted, so a call that was refused asks with the
    /// same moment again; it has its place again, also among calls of the same moment. Send the call at
    /// once when the pass is there, and keep the pass until the call has ended.
    ///
    /// The first in the line waits for the clock: if its future is kept and not polled, those behind
    /// it wait until someone else uses the pacer. Drop what is not wanted.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped gives its place back, and takes nothing.
    pub async fn admit(&self, born: Instant) -> Pass {
        let place = {
            let born = self.nanos(born);
            let mut line = self.0.lock();
            let kept = line.gate.take_kept(born);
            let place = kept.unwrap_or_else(|| line.place(born));
            if line.count() == 0
                && let Ok(id) = line.gate.let_go((), false, self.0.now())
            {
                return Pass::new(self.clone(), place, id);
            }
            line.join(place, ());
            place
        };
        Turn::begin(InLine(self, place), place).await
    }

    /// Guesses how long a call that is as old as this would wait now; none if nothing is known, or if
    /// it would not.
    #[must_use]
    pub fn expected_wait(&self, born: Instant) -> Option<Duration> {
        let line = self.0.lock();
        let before = line.count_before(self.nanos(born));
        let wait = line.gate.pacing.wait(self.0.now().as_secs_f64(), before);
        drop(line);
        Duration::try_from_secs_f64(wait)
            .ok()
            .filter(|wait| !wait.is_zero())
    }

    /// Returns how many calls a second are let go; none while that is not limited.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.0.lock().gate.pacing.rate()
    }

    /// Returns whether a limit is known, of a rate or of calls at once, or some wait already.
    ///
    /// A rate is forgotten by the first call that nobody waits behind once nothing was refused for a minute.
    ///
    /// What is sent beside the line then, such as a hedge, takes the place of a call that waits.
    ///
    /// ```
    /// use steadfast_resilience::{Pacer, secs};
    /// use tokio::time::Instant;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let pacer = Pacer::new();
    /// let pass = pacer.admit(Instant::now()).await;
    /// assert!(!pacer.is_limited());
    ///
    /// pass.throttled(Some(secs(2)));
    /// assert!(pacer.is_limited());
    /// # }
    /// ```
    #[must_use]
    pub fn is_limited(&self) -> bool {
        let line = self.0.lock();
        line.count() > 0 || line.gate.pacing.is_limited()
    }

    /// Returns how many calls wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.lock().count()
    }

    /// Changes what is known, and lets those go who may then.
    fn learn(&self, change: impl FnOnce(&mut Line, f64)) {
        self.0
            .change(|line| change(line, self.0.now().as_secs_f64()));
    }

    /// A moment on the pacer's clock; what was before it began counts as less than nothing.
    fn nanos(&self, moment: Instant) -> i64 {
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let epoch = self.0.epoch();
        let after = nanos(moment.saturating_duration_since(epoch));
        after.saturating_sub(nanos(epoch.saturating_duration_since(moment)))
    }
}

impl Default for Pacer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Pacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pacer")
            .field("rate", &self.rate())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod interleavings;
