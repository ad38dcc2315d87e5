//! The signatures under thinking, by which vendors know their own words again.
//!
//! They protect nothing: everybody can compute them. They tell a thought that came from the
//! simulator from one that was changed or made up, on every machine and after every restart.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::pieces::mix;

/// How many numbers a signature is made of; the vendor's are several hundred characters long.
const LENGTH: u64 = 12;

/// Signs a thought.
pub(crate) fn signature(thinking: &str) -> String {
    let seed = thinking
        .bytes()
        .fold(mix(thinking.len() as u64), |state, byte| {
            mix(state ^ u64::from(byte))
        });
    let bytes: Vec<u8> = (0..LENGTH)
        .flat_map(|index| mix(seed.wrapping_add(index)).to_be_bytes())
        .collect();
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_depend_on_every_byte() {
        let thoughts = ["", "a", "b", "ab", "ba", "Let me think.", "Let me think"];
        let signatures: Vec<_> = thoughts.iter().map(|text| signature(text)).collect();

        for (index, one) in signatures.iter().enumerate() {
            assert_eq!(one.len(), 128);
            assert_eq!(*one, signature(thoughts[index]));
            assert!(!signatures[..index].contains(one));
        }
    }
}
