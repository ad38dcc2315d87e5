//! What a cell came to, as lines: written once from the contract and once from the run, and compared.

use std::{collections::VecDeque, fmt::Write as _};

/// All that is compared of one cell, in order.
pub(crate) type Sheet = Vec<String>;

/// Writes both sides beside each other, equal lines in one row, with a mark at each row that differs.
pub(crate) fn side_by_side(expected: &[String], met: &[String]) -> String {
    let width = expected.iter().map(|line| line.chars().count()).max();
    let width = width.unwrap_or_default().max("expected".len());
    let mut shown = format!("    {:width$} │ met\n", "expected");
    for (left, right) in rows(expected, met) {
        let mark = if left == right { ' ' } else { '≠' };
        let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
        // Writing to a string does not fail.
        let _ = writeln!(shown, "  {mark} {left:width$} │ {right}");
    }
    shown
}

type Row<'a> = (Option<&'a str>, Option<&'a str>);

/// Puts equal lines into one row: as many as there can be without changing the order.
fn rows<'a>(expected: &'a [String], met: &'a [String]) -> VecDeque<Row<'a>> {
    // How many rows are equal at most, by how many lines of each side are taken.
    let mut equal = vec![vec![0_usize; met.len() + 1]; expected.len() + 1];
    let at = |equal: &[Vec<usize>], left: usize, right: usize| {
        equal.get(left).and_then(|row| row.get(right)).copied()
    };
    for (left, line) in expected.iter().enumerate() {
        for (right, other) in met.iter().enumerate() {
            let best = if line == other {
                at(&equal, left, right).map(|count| count + 1)
            } else {
                at(&equal, left, right + 1).max(at(&equal, left + 1, right))
            };
            if let Some(cell) = equal
                .get_mut(left + 1)
                .and_then(|row| row.get_mut(right + 1))
            {
                *cell = best.unwrap_or_default();
            }
        }
    }
    let mut rows = VecDeque::new();
    let (mut expected, mut met) = (expected, met);
    loop {
        rows.push_front(match (expected.split_last(), met.split_last()) {
            (Some((line, rest)), Some((other, rest_of_met))) if line == other => {
                (expected, met) = (rest, rest_of_met);
                (Some(line.as_str()), Some(other.as_str()))
            }
            (left, Some((other, rest)))
                if left.is_none()
                    || at(&equal, expected.len(), rest.len())
                        >= at(&equal, expected.len() - 1, met.len()) =>
            {
                met = rest;
                (None, Some(other.as_str()))
            }
            (Some((line, rest)), _) => {
                expected = rest;
                (Some(line.as_str()), None)
            }
            (None, _) => return rows,
        });
    }
}
