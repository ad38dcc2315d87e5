//! What a provider itself says of its limit, and when that is believed. What follows from it is not
//! decided here.

/// For so many seconds a provider's own word is not heeded once it has refused against it.
const DOUBT: f64 = 60.0;

/// Behind so many calls whose answers said nothing, what was said before is of old.
const SILENCE: u32 = 256;

/// Two rates that differ by no more than this are the same.
const TOLERANCE: f64 = 0.25;

/// What was said so far. Times are seconds since the pacer's clock began.
#[derive(Debug)]
pub(super) struct Told {
    /// The rate that was said last.
    last: Option<f64>,
    /// The rate on which two answers agree.
    rate: Option<f64>,
    /// How many calls are left beyond those under way, by the latest answer.
    left: f64,
    /// How many calls went since it said something.
    silent_for: u32,
    /// When it refused what it had said it would let go; long ago, if it never did.
    doubted: f64,
}

impl Told {
    pub(super) const fn new() -> Self {
        Self {
            last: None,
            rate: None,
            left: f64::INFINITY,
            silent_for: 0,
            doubted: f64::NEG_INFINITY,
        }
    }

    /// Takes what an answer says, and returns the rate if it is to be believed.
    ///
    /// The rate is what comes back of the limit in a second. Where that is not what limits, as with the
    /// budget of a minute that is enforced second by second, or where the times are rounded, each
    /// answer says another.
    pub(super) fn hear(&mut self, now: f64, rate: Option<f64>, left: f64) -> Option<f64> {
        if now < self.doubted + DOUBT {
            return None;
        }
        self.left = left;
        self.silent_for = 0;
        let Some(rate) = rate else {
            return self.rate;
        };
        let agrees = |other: f64| (rate / other - 1.0).abs() <= TOLERANCE;
        if self.last.replace(rate).is_some_and(agrees) {
            self.rate = Some(rate);
        }
        self.rate
    }

    /// A call is sent that the latest answer does not know of. Says whether what was said is of old, since
    /// nothing was said for so long.
    pub(super) const fn send(&mut self) -> bool {
        self.left -= 1.0;
        self.silent_for = self.silent_for.saturating_add(1);
        if self.silent_for == SILENCE {
            self.last = None;
            self.rate = None;
        }
        self.silent_for >= SILENCE
    }

    /// It was not sent.
    pub(super) const fn give_back(&mut self) {
        self.left += 1.0;
    }

    /// The rate, if it is believed and nothing is left.
    pub(super) fn used_up(&self) -> Option<f64> {
        self.rate.filter(|_| self.left < 1.0)
    }

    /// Forgets what was said, and does not listen for a while.
    pub(super) const fn doubt(&mut self, now: f64) {
        self.last = None;
        self.rate = None;
        self.left = f64::INFINITY;
        self.doubted = now;
    }
}
