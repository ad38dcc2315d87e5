//! How far off sums and products of floats may be; it computes none.

/// So little of a request, a token or a retry is nothing.
pub(crate) const NOTHING: f64 = 1e-9;
