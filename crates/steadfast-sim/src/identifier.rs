//! Identifiers that look like a vendor's, and are the same on every run.

use crate::pieces::mix;

/// Spells a number as one of a vendor's identifiers; the same number gives the same one.
pub(crate) fn identifier(prefix: &str, number: u64, length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut state = number;
    let letters = (0..length).map(|_| {
        state = mix(state);
        let letter = ALPHABET.get((state % 62) as usize);
        char::from(letter.copied().unwrap_or(b'A'))
    });
    prefix.chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_differ_but_repeat_for_a_number() {
        assert_eq!(identifier("req_", 1, 32), identifier("req_", 1, 32));
        assert_ne!(identifier("req_", 1, 32), identifier("req_", 2, 32));
        assert_eq!(identifier("chatcmpl-", 3, 29).len(), "chatcmpl-".len() + 29);
    }
}
