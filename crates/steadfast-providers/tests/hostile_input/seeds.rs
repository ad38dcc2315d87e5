//! The seeds of the fuzz targets, put through what the targets claim, so that neither rots.

use crate::{WIRES, fuzz};

#[test]
fn claims_about_answers_hold_for_their_seeds() {
    for wire in WIRES {
        let seeds = fuzz::seeds::answers(wire);
        assert!(!seeds.is_empty(), "{wire:?}");
        seeds.iter().for_each(|seed| fuzz::answer(wire, seed));
    }
}

#[test]
fn claims_about_refusals_hold_for_their_seeds() {
    fuzz::seeds::refusals()
        .iter()
        .for_each(|seed| fuzz::refusal(seed));
}

#[test]
fn claims_about_stored_runs_hold_for_their_seeds() {
    let seeds = fuzz::seeds::stored_runs();
    assert!(seeds.len() > 10, "{}", seeds.len());
    seeds.iter().for_each(|seed| fuzz::stored_run(seed));
}
