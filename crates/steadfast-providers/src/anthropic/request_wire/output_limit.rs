//! The output limit that is sent where the user sets none: the vendor requires one. What the user
//! sets is not checked.

/// Returns what the family accepts, at most 64,000 tokens: Claude Opus 4.6 and others would take
/// more, but 64,000 are long enough for a turn. The vendor's page "Models overview" lists them.
pub(super) fn output_limit(model: &str) -> u32 {
    // Bedrock, Vertex and gateways separate the words otherwise, and put others around them.
    let words: Vec<&str> = model
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let Some(claude) = words.iter().position(|word| *word == "claude") else {
        return 8_192;
    };
    // The size stands before the version or behind it: `claude-3-opus`, `claude-opus-4`.
    let (mut size, mut version) = ("", [None; 2]);
    for word in words.into_iter().skip(claude + 1) {
        let number = word.strip_prefix('v').unwrap_or(word).parse::<u32>().ok();
        match (number, &mut version) {
            // A date ends the name.
            (Some(number), _) if number > 999 => break,
            (Some(number), [major @ None, _] | [_, major @ None]) => *major = Some(number),
            (None, _) if size.is_empty() => size = word,
            _ => {}
        }
    }
    match (version, size) {
        ([Some(0..=2), _], _) | (_, "instant") => 4_096,
        ([Some(3), None | Some(0)], _) => 4_096,
        ([Some(3), Some(5)], _) => 8_192,
        ([Some(4), None | Some(0 | 1)], "opus") => 32_000,
        _ => 64_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_gets_what_it_accepts() {
        for (model, limit) in [
            ("claude-3-haiku-20240307", 4_096),
            ("claude-3-opus-latest", 4_096),
            ("claude-3-5-haiku-latest", 8_192),
            ("claude-3-7-sonnet-20250219", 64_000),
            ("claude-opus-4-20250514", 32_000),
            ("claude-opus-4@20250514", 32_000),
            ("claude-opus-4-1", 32_000),
            ("claude-opus-4-1-20250805", 32_000),
            ("claude-sonnet-4-20250514", 64_000),
            ("claude-sonnet-4-5", 64_000),
            ("claude-haiku-4-5-20251001", 64_000),
            ("claude-opus-4-5-20251101", 64_000),
            ("claude-opus-4-7", 64_000),
            ("anthropic/claude-sonnet-4-6", 64_000),
            ("claude-of-tomorrow", 64_000),
            ("anthropic/claude-3.5-sonnet", 8_192),
            ("claude-3.5-haiku@20241022", 8_192),
            ("anthropic/claude-3.7-sonnet:thinking", 64_000),
            ("anthropic/claude-opus-4", 32_000),
            ("anthropic/claude-opus-4.1", 32_000),
            ("claude-4-opus-20250514", 32_000),
            ("claude-4-sonnet-20250514", 64_000),
            ("claude-opus-4-latest", 32_000),
            ("claude-opus-4-10", 64_000),
            ("claude-opus-4_5", 64_000),
            ("us.anthropic.claude-3-opus-20240229-v1:0", 4_096),
            ("us.anthropic.claude-opus-4-1-20250805-v1:0", 32_000),
            ("us.anthropic.claude-sonnet-4-20250514-v1:0", 64_000),
            ("anthropic.claude-v2:1", 4_096),
            ("anthropic.claude-instant-v1", 4_096),
            ("claude-2.1", 4_096),
            ("claude-1.3", 4_096),
            ("claude", 64_000),
            ("glm-4.6", 8_192),
        ] {
            assert_eq!(output_limit(model), limit, "{model}");
        }
    }
}
