//! Properties of strategies that are values, not macros.

#[path = "property.rs"]
mod property;

use property::seeded;
use proptest::{
    strategy::Strategy,
    test_runner::{TestCaseError, TestRunner},
};

/// Tries a property on many values.
pub(crate) fn holds<S: Strategy>(
    strategy: S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let outcome = TestRunner::new(seeded()).run(&strategy, property);
    assert!(
        outcome.is_ok(),
        "{}",
        outcome.err().map(|e| e.to_string()).unwrap_or_default()
    );
}
