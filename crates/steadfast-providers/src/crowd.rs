//! How many values JSON holds, and how deep, counted without reading it: a short text can be a hundred
//! times as large once it is read. Whether it is JSON at all is not looked at.

/// The most values that one event or body may hold. The most that providers send are the likelihoods
/// of some thousand tokens.
const MAX_VALUES: usize = 512 * 1024;

/// How deep values may be nested, which is as deep as serde reads. The AWS SDK knows no end.
#[cfg(feature = "bedrock")]
const MAX_DEPTH: usize = 128;

/// Returns whether there are more values than are accepted.
pub(crate) fn is_crowded(json: &[u8]) -> bool {
    // Each takes a byte at least, so most texts are not looked through.
    json.len() > MAX_VALUES && Crowd::of(json).values > MAX_VALUES
}

/// What has been counted.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    values: usize,
    #[cfg(feature = "bedrock")]
    depth: usize,
    in_text: bool,
    escaped: bool,
}

impl Crowd {
    fn of(json: &[u8]) -> Self {
        let mut crowd = Self::default();
        json.iter().for_each(|byte| crowd.take(*byte));
        crowd
    }

    /// Counts what begins or parts values.
    fn take(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = self.in_text,
            b'"' => self.in_text = !self.in_text,
            _ if self.in_text => {}
            b'{' | b'[' => {
                self.values += 1;
                #[cfg(feature = "bedrock")]
                {
                    self.depth += 1;
                }
            }
            #[cfg(feature = "bedrock")]
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b',' | b':' => self.values += 1,
            _ => {}
        }
    }

    /// Counts on. Returns whether there is more, or anything deeper, than is accepted.
    #[cfg(feature = "bedrock")]
    pub(crate) fn is_too_much_with(&mut self, json: &[u8]) -> bool {
        json.iter().any(|byte| {
            self.take(*byte);
            self.depth > MAX_DEPTH || self.values > MAX_VALUES
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_and_texts_passed_over() {
        for (json, expected) in [
            (r#"{"a": [1, {}], "b": 2}"#, 7),
            (r#"{"{[,:\"{[": 1}"#, 2),
            (r#"["\\", "x"]"#, 2),
            ("1", 0),
            ("", 0),
        ] {
            assert_eq!(Crowd::of(json.as_bytes()).values, expected, "{json}");
        }
    }

    #[test]
    fn long_texts_are_no_crowd() {
        assert!(!is_crowded(
            format!("[\"{}\"]", ",".repeat(MAX_VALUES)).as_bytes()
        ));
        assert!(is_crowded("[".repeat(MAX_VALUES + 1).as_bytes()));
    }

    #[cfg(feature = "bedrock")]
    #[test]
    fn depth_is_that_of_what_is_open() {
        let beside = "[]".repeat(2 * MAX_DEPTH);
        assert!(!Crowd::default().is_too_much_with(beside.as_bytes()));
        let mut crowd = Crowd::default();
        assert!(!crowd.is_too_much_with("[".repeat(MAX_DEPTH).as_bytes()));
        assert!(!crowd.is_too_much_with(b"\"[[\""));
        assert!(crowd.is_too_much_with(b"{"));
    }
}
