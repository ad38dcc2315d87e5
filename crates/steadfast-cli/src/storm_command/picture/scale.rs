//! The scales that all charts of a picture share: seconds to the right, requests a second upwards.

use crate::storm_command::{comparison::Comparison, figures::median, tally::MOMENTS_A_SECOND};

/// How far and how high the charts go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// The last second that is shown.
    pub(super) seconds: f64,
    /// The distance between two marks below.
    pub(super) mark: f64,
    /// The highest rate that is shown; what is higher is cut off there and written out.
    pub(super) a_second: f64,
    /// How many moments a column stands for.
    pub(super) moments: usize,
}

/// How many times the ideal time is shown: who takes longer runs out of the chart.
const TIMES_IDEAL: f64 = 2.6;
/// How many times the limit is shown.
const TIMES_LIMIT: f64 = 4.0;
/// The most columns, and the most marks below a chart.
const MOST_COLUMNS: f64 = 90.0;
const MOST_MARKS: f64 = 6.0;

impl Scale {
    pub(super) fn of(comparison: &Comparison) -> Self {
        let ideal = median(
            comparison
                .ideals
                .iter()
                .map(|ideal| ideal.makespan)
                .collect(),
        );
        let longest = comparison.rows.iter().map(|row| {
            let last = row.shown.moments.len() as f64 / MOMENTS_A_SECOND as f64;
            last.max(row.shown.makespan().unwrap_or_default().as_secs_f64())
        });
        let longest = longest.fold(1.0, f64::max);
        let seconds = longest.min(TIMES_IDEAL * ideal.max(1.0)).max(1.0);
        let mark = round_number(seconds / MOST_MARKS);
        let seconds = (seconds / mark).ceil() * mark;
        let moments = (seconds * MOMENTS_A_SECOND as f64 / MOST_COLUMNS).ceil();
        Self {
            seconds,
            mark,
            a_second: TIMES_LIMIT * comparison.world.requests_a_second(),
            moments: (moments as usize).max(1),
        }
    }
}

/// Finds the next number up that people count by: 1, 2, 5, 10, 15, 20, 30, 60, 120 and so on.
fn round_number(least: f64) -> f64 {
    const ROUND: [f64; 14] = [
        0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0,
    ];
    let found = ROUND.into_iter().find(|number| *number >= least);
    found.unwrap_or_else(|| least.ceil())
}
