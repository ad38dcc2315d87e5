//! The output limit that is sent where the user sets none: the vendor requires one. What the user
//! sets is not checked.

/// Returns what the family accepts, at most 64,000 tokens: Claude Opus 4.6 and others would take
/// more, but 64,000 are long enough for a turn. The vendor's page "Models overview" lists them.
pub(super) fn output_limit(model: &str) -> u32 {
    /// The first that is part of the name counts: names have prefixes on Bedrock and gateways.
    const FAMILIES: [(&str, u32); 10] = [
        ("claude-2", 4_096),
        ("claude-instant", 4_096),
        ("claude-3-opus", 4_096),
        ("claude-3-sonnet", 4_096),
        ("claude-3-haiku", 4_096),
        ("claude-3-5", 8_192),
        ("claude-opus-4-0", 32_000),
        ("claude-opus-4-1", 32_000),
        // By its date: `claude-opus-4-20250514`, on Vertex `claude-opus-4@20250514`.
        ("claude-opus-4-2025", 32_000),
        ("claude-opus-4@", 32_000),
    ];
    let of_family = FAMILIES.iter().find(|(family, _)| model.contains(family));
    match of_family {
        Some((_, limit)) => *limit,
        None if model.contains("claude") => 64_000,
        None => 8_192,
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
            ("glm-4.6", 8_192),
        ] {
            assert_eq!(output_limit(model), limit, "{model}");
        }
    }
}
