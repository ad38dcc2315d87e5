//! How fast answers come, smoothed over half seconds: pure arithmetic on seconds.

/// Measures a rate in buckets of half a second.
///
/// The count of a bucket joins the rate when the first answer of a later one comes; four fifths of
/// the rate are the latest bucket's.
#[derive(Debug, Clone, Copy)]
pub(super) struct RateClocker {
    rate: f64,
    bucket: f64,
    count: u32,
}

const BUCKETS_PER_SECOND: f64 = 2.0;
const SMOOTHING: f64 = 0.8;

impl RateClocker {
    pub(super) fn new(at: f64) -> Self {
        Self {
            rate: 0.0,
            bucket: at.floor(),
            count: 0,
        }
    }

    /// Counts an answer and returns the rate, in answers a second.
    pub(super) fn record(&mut self, at: f64) -> f64 {
        let bucket = (at * BUCKETS_PER_SECOND).floor() / BUCKETS_PER_SECOND;
        self.count = self.count.saturating_add(1);
        if bucket > self.bucket {
            let latest = f64::from(self.count) / (bucket - self.bucket);
            self.rate = latest * SMOOTHING + self.rate * (1.0 - SMOOTHING);
            self.count = 0;
            self.bucket = bucket;
        }
        self.rate
    }
}
