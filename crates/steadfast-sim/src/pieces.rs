//! Pseudo-random numbers from a seed, and a body cut at pseudo-random places.
//!
//! Not for secrets: the same seed gives the same numbers on every machine, which is the point.

use bytes::Bytes;

/// Mixes a number into another one that looks random (the finaliser of SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Cuts a body into pieces whose lengths depend only on the seed and on the body's length.
#[derive(Debug)]
pub(crate) struct Pieces {
    rest: Bytes,
    longest: u64,
    state: u64,
}

impl Pieces {
    pub(crate) fn new(body: Bytes, seed: u64) -> Self {
        Self {
            // Long bodies get longer pieces: a few hundred cuts find what there is to find.
            longest: (body.len() as u64 / 256).max(96),
            rest: body,
            state: mix(seed),
        }
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            return None;
        }
        self.state = mix(self.state);
        let length = 1 + usize::try_from(self.state % self.longest).unwrap_or(0);
        Some(self.rest.split_to(length.min(self.rest.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(body: &Bytes, seed: u64) -> Vec<usize> {
        Pieces::new(body.clone(), seed)
            .map(|piece| piece.len())
            .collect()
    }

    #[test]
    fn pieces_together_are_the_body() {
        for length in [0, 1, 95, 4096, 1 << 20] {
            let body: Bytes = (0..length).map(|index| index as u8).collect();

            let joined: Vec<u8> = Pieces::new(body.clone(), 7).flatten().collect();

            assert_eq!(joined, body);
        }
    }

    #[test]
    fn cuts_depend_on_the_seed_alone() {
        let body = Bytes::from(vec![b'x'; 5000]);

        assert_eq!(lengths(&body, 1), lengths(&body, 1));
        assert_ne!(lengths(&body, 1), lengths(&body, 2));
    }
}
