//! Identifiers that look like a vendor's, and are the same on every run; and what vendors take as
//! one.

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

/// Says whether a text has only the characters that vendors take in identifiers and in names.
pub(crate) fn is_plain(text: &str) -> bool {
    let is_allowed = |letter: u8| letter.is_ascii_alphanumeric() || b"_-".contains(&letter);
    !text.is_empty() && text.bytes().all(is_allowed)
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

    #[test]
    fn plain_texts_have_letters_digits_and_two_signs() {
        for plain in ["a", "Z9", "get_weather", "toolu_01-x"] {
            assert!(is_plain(plain), "{plain}");
        }
        for odd in ["", " ", "a b", "a.b", "a/b", "é", "a\n"] {
            assert!(!is_plain(odd), "{odd}");
        }
    }
}
