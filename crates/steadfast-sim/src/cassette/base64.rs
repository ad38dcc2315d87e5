//! Decodes base64, for bodies that are not text. The alphabet is the standard one.

/// Decodes a text, ignoring white space; none if it is not base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let symbols = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
    let symbols: Vec<u8> = symbols.collect();
    let padding = symbols
        .iter()
        .rev()
        .take_while(|symbol| **symbol == b'=')
        .count();
    if padding > 2 || !symbols.len().is_multiple_of(4) {
        return None;
    }
    let symbols = symbols.get(..symbols.len() - padding)?;
    let mut bytes = Vec::with_capacity(symbols.len() / 4 * 3 + 2);
    for group in symbols.chunks(4) {
        let mut bits = 0_u32;
        for symbol in group {
            bits = bits << 6 | value(*symbol)?;
        }
        // A group of four carries three bytes; the last one may be shorter by its padding.
        let [_, decoded @ ..] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        bytes.extend(decoded.iter().take(group.len() - 1));
    }
    Some(bytes)
}

fn value(symbol: u8) -> Option<u32> {
    let value = match symbol {
        b'A'..=b'Z' => symbol - b'A',
        b'a'..=b'z' => symbol - b'a' + 26,
        b'0'..=b'9' => symbol - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_decode() {
        let cases: [(&str, &[u8]); 6] = [
            ("", b""),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9v\nYmE=\n", b"fooba"),
            ("+/8A", &[0xFB, 0xFF, 0x00]),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_do_not() {
        for text in ["Z", "Zg", "Zg=", "====", "Zm9v!A==", "Zm=v", "Z==="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
