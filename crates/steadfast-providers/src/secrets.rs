//! The secrets that a provider was given: removed wherever a vendor repeats them. The masking by
//! shape in the core stays the second line; this one knows no shapes.

use std::sync::Arc;

/// The shortest text that is taken for a secret: shorter ones are words.
const SHORTEST_SECRET: usize = 8;

/// Texts that no error may hold. Cheap to clone; it has no `Debug` form of its own.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<[String]>);

impl Secrets {
    /// Takes a key and the values of headers. Of `Bearer abc` the part behind the space counts too.
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        Self::default().and(values)
    }

    /// Adds values to those that are known.
    pub(crate) fn and<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> Self {
        let parts = values
            .into_iter()
            .flat_map(|value| [Some(value), value.rsplit_once(' ').map(|(_, last)| last)])
            .flatten()
            .map(|secret| secret.trim().to_owned())
            .filter(|secret| secret.len() >= SHORTEST_SECRET);
        let mut secrets: Vec<String> = self.0.iter().cloned().chain(parts).collect();
        // The longest first: one secret may be part of another.
        secrets.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        secrets.dedup();
        Self(secrets.into())
    }

    /// Replaces every secret by `***`.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret) {
                text.replace(secret, "***")
            } else {
                text
            }
        })
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], text: &str, expected: &str) {
        assert_eq!(Secrets::new(values.iter().copied()).mask(text), expected);
    }

    #[test]
    fn what_was_given_is_masked_and_nothing_else() {
        check(&["0123456789abcdef"], "x 0123456789abcdef.", "x ***.");
        check(
            &["Basic YTpiOmNkZWY"],
            "got YTpiOmNkZWY, YTpiOmNkZWY",
            "got ***, ***",
        );
        check(&["abcdefgh", "abcdefghij"], "abcdefghij", "***");
        check(&["blue", ""], "the sky is blue", "the sky is blue");
        let more = Secrets::new(["abcdefgh"]).and(["0123456789abcdef"]);
        assert_eq!(more.mask("abcdefgh 0123456789abcdef"), "*** ***");
        assert_eq!(format!("{:?}", Secrets::new(["0123456789abcdef"])), "***");
    }
}
