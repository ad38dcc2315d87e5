//! What a cell came to, as lines: written once from the contract and once from the run, and compared.

use std::fmt::Write as _;

/// All that is compared of one cell, in order.
pub(crate) type Sheet = Vec<String>;

/// Writes both sides beside each other, with a mark at each line that differs.
pub(crate) fn side_by_side(expected: &[String], met: &[String]) -> String {
    let width = expected.iter().map(|line| line.chars().count()).max();
    let width = width.unwrap_or_default().max("expected".len());
    let mut shown = format!("    {:width$} │ met\n", "expected");
    for number in 0..expected.len().max(met.len()) {
        let line = |side: &[String]| side.get(number).cloned().unwrap_or_default();
        let mark = if expected.get(number) == met.get(number) {
            ' '
        } else {
            '≠'
        };
        // Writing to a string does not fail.
        let _ = writeln!(shown, "  {mark} {:width$} │ {}", line(expected), line(met));
    }
    shown
}
