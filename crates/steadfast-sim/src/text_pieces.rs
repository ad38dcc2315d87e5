//! Texts and arguments cut into the pieces in which models stream them.
//!
//! Where a stream's bytes are cut on the network is another matter: see `pieces.rs`.

/// How many words there are in a piece of text.
const WORDS: usize = 2;
/// How many characters there are at most, for texts without spaces.
const LONGEST_TEXT: usize = 24;
/// How many characters of a tool's arguments there are in a piece.
const LONGEST_ARGUMENTS: usize = 8;

/// Cuts what the model says, or thinks, before spaces.
pub(crate) fn words(text: &str) -> Vec<&str> {
    cut(text, WORDS, LONGEST_TEXT)
}

/// Cuts the arguments of a tool call anywhere.
pub(crate) fn arguments(json: &str) -> Vec<&str> {
    cut(json, usize::MAX, LONGEST_ARGUMENTS)
}

/// Cuts a text before the space after so many words, or after so many characters.
fn cut(text: &str, words: usize, longest: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut characters = 0;
    let mut seen = 0;
    let mut in_word = false;
    for (index, character) in text.char_indices() {
        let space = character.is_whitespace();
        if space && in_word {
            seen += 1;
        }
        in_word = !space;
        if seen == words || characters == longest {
            pieces.extend(text.get(start..index));
            (start, characters, seen) = (index, 0, 0);
        }
        characters += 1;
    }
    pieces.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_before_spaces() {
        let cases: [(&str, &[&str]); 5] = [
            ("", &[]),
            ("one", &["one"]),
            ("It rains in Oslo.", &["It rains", " in Oslo."]),
            (" a  b c", &[" a  b", " c"]),
            (
                "東京は今日はとても暑いので傘ではなく帽子を持って行く",
                &["東京は今日はとても暑いので傘ではなく帽子を持っ", "て行く"],
            ),
        ];
        for (text, expected) in cases {
            let cut = words(text);

            assert_eq!(cut.concat(), text);
            assert_eq!(cut.len(), expected.len(), "{cut:?}");
        }
    }
}
