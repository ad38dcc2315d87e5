//! Which city a prompt is about. It goes by capital letters and prepositions and knows no map.

/// Words before the name of a place.
const PREPOSITIONS: [&str; 7] = ["in", "to", "for", "at", "near", "from", "around"];

/// Capitalised words that are no place.
const NO_PLACES: [&str; 9] = [
    "I",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Please",
];

/// Returns the city that a prompt names: the name behind a preposition, or else the last one.
pub(crate) fn named_in(prompt: &str) -> Option<String> {
    let words: Vec<&str> = prompt.split_whitespace().collect();
    let mut last = None;
    let mut before: Option<&str> = None;
    let mut rest = words.as_slice();
    while let Some((word, others)) = rest.split_first() {
        // The first word of a sentence has a capital letter of its own.
        let begins = before.is_none_or(|before| before.ends_with(['.', '!', '?']));
        let length = if begins { 0 } else { name_length(rest) };
        let (name, after) = rest.split_at(length.max(1));
        if length > 0 {
            let name = name.iter().copied().map(bare).collect::<Vec<_>>().join(" ");
            let before = before.map(str::to_lowercase).unwrap_or_default();
            if PREPOSITIONS.contains(&before.as_str()) {
                return Some(name);
            }
            last = Some(name);
        }
        before = name.last().copied().or(Some(word));
        rest = if length > 0 { after } else { others };
    }
    last
}

/// Returns how many words at the beginning are one name. A mark behind a word ends it: `Oslo,
/// Norway` is Oslo.
fn name_length(words: &[&str]) -> usize {
    let names = words.iter().take_while(|word| is_name(word)).count();
    let marked = words
        .iter()
        .take(names)
        .position(|word| !word.ends_with(char::is_alphanumeric));
    marked.map_or(names, |marked| marked + 1)
}

fn is_name(word: &str) -> bool {
    let bare = bare(word);
    bare.starts_with(char::is_uppercase)
        && !NO_PLACES
            .iter()
            .any(|no| bare.split('\'').next() == Some(no))
}

fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cities_are_found_where_people_put_them() {
        let cases = [
            ("What should I wear in Oslo today?", Some("Oslo")),
            ("Should I take an umbrella to São Paulo?", Some("São Paulo")),
            ("What do I wear in New York on Monday", Some("New York")),
            ("Weather for Oslo, Norway please", Some("Oslo")),
            ("Oslo", None),
            ("I am in Bergen. What now?", Some("Bergen")),
            ("Is Tromsø cold?", Some("Tromsø")),
            ("hello", None),
            ("Hello there", None),
            ("What should I'm wearing? Nothing.", None),
            ("", None),
            ("今日は何を着ればいい", None),
        ];
        for (prompt, expected) in cases {
            assert_eq!(named_in(prompt).as_deref(), expected, "{prompt}");
        }
    }
}
