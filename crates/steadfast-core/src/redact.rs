//! Masking of credentials in sentences that come from outside. It knows shapes, not secrets.

/// Prefixes by which vendors mark their keys; what follows is masked.
const KEY_PREFIXES: [&str; 14] = [
    "sk-", "sk_", "pk-", "rk-", "gsk_", "xai-", "AIza", "AKIA", "ASIA", "ghp_", "hf_", "eyJ",
    "r8_", "pplx-",
];

/// Words after which a credential follows.
const KEY_LABELS: [&str; 7] = [
    "bearer", "key", "api_key", "apikey", "token", "secret", "password",
];

/// The shortest run of characters that can be a key after a prefix or label.
const SHORTEST_KEY: usize = 8;

/// The shortest run without any mark that is taken for a key if it looks random.
const SHORTEST_UNMARKED: usize = 40;

/// Replaces anything shaped like a credential by `***`.
pub(crate) fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut labelled = false;
    let mut rest = text;
    while let Some(start) = rest.find(is_key_char) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_key_char(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        masked.push_str(before);
        if is_secret(word, labelled, after) {
            masked.push_str("***");
        } else {
            masked.push_str(word);
        }
        // A label counts for the next word only across the marks that set off a value.
        labelled = is_label(word) && after.starts_with(['=', ':', ' ', '"', '\'']);
        rest = after;
    }
    masked.push_str(rest);
    masked
}

const fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*' | '+' | '.')
}

fn is_label(word: &str) -> bool {
    KEY_LABELS
        .iter()
        .any(|label| word.eq_ignore_ascii_case(label))
}

fn is_secret(word: &str, labelled: bool, after: &str) -> bool {
    let word = word.trim_end_matches('.');
    let marked = KEY_PREFIXES
        .iter()
        .any(|prefix| word.len() >= SHORTEST_KEY && word.starts_with(prefix));
    let random = looks_random(word);
    marked
        || (labelled && word.len() >= SHORTEST_KEY && (random || word.bytes().any(|b| b.is_ascii_digit())))
        || (random && word.len() >= SHORTEST_UNMARKED && !word.contains(['-', '.']))
        // The user part of an address: `scheme://user:password@host`.
        || (after.starts_with('@') && word.len() >= SHORTEST_KEY && random)
}

/// Digits among upper and lower case, which words and names seldom have.
fn looks_random(word: &str) -> bool {
    word.bytes().any(|b| b.is_ascii_digit())
        && word.bytes().any(|b| b.is_ascii_uppercase())
        && word.bytes().any(|b| b.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::mask;

    fn check(text: &str, expected: &str) {
        assert_eq!(mask(text), expected);
    }

    #[test]
    fn keys_are_masked_wherever_they_stand() {
        check(
            "Incorrect API key provided: sk-abcd1234********wxyz. You can find yours at the site.",
            "Incorrect API key provided: *** You can find yours at the site.",
        );
        check(
            "Authorization: Bearer abcDEF123456",
            "Authorization: Bearer ***",
        );
        check(
            "GET /v1/models?key=AIzaSyA1234567",
            "GET /v1/models?key=***",
        );
        check(
            "token eyJhbGciOiJIUzI1NiJ9.e30.x refused",
            "token *** refused",
        );
        let long = "aB3".repeat(20);
        check(&format!("got {long}!"), "got ***!");
    }

    #[test]
    fn ordinary_sentences_stay_as_they_are() {
        for text in [
            "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 28000.",
            "model `meta-llama-4-maverick-17b-128e-instruct-fp8-dynamic` not found",
            "the key was refused",
            "max_tokens: must be at most 4096",
            "é unicode — stays",
            "",
        ] {
            check(text, text);
        }
    }
}
