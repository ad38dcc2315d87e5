//! A public struct is not written out field by field: it may grow.

use steadfast_core::Usage;

fn main() {
    let _ = Usage {
        input_tokens: 10,
        ..Usage::default()
    };
}
