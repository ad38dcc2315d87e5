//! What the vendor packs a thought into, by which it knows its own again.
//!
//! It hides nothing: there is no thought in it. It tells a thought that came from the simulator from
//! one that was changed or made up, on every machine and after every restart.

use crate::identifier::identifier;
use crate::pieces::mix;

/// How many letters there are; the vendor's are several hundred.
const LENGTH: usize = 120;

/// Packs the thought of an identity.
pub(super) fn encrypted(id: &str) -> String {
    let seed = id.bytes().fold(mix(id.len() as u64), |state, byte| {
        mix(state ^ u64::from(byte))
    });
    identifier("gAAAAAB", seed, LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_packed_by_every_byte_of_their_identity() {
        assert_eq!(encrypted("rs_1"), encrypted("rs_1"));
        assert_ne!(encrypted("rs_1"), encrypted("rs_2"));
        assert_ne!(encrypted("rs_12"), encrypted("rs_21"));
    }
}
