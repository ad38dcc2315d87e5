//! Identities and names of calls, as a wire takes them: a history may come from servers that number
//! the calls of every turn anew, and from models that make names up. Nothing is remembered between
//! requests.

use std::{
    borrow::Cow,
    collections::{HashSet, VecDeque},
};

/// The longest name of a tool that vendors take.
const LONGEST_NAME: usize = 64;

/// Gives every call of a history an identity of its own, and its result the same.
pub(crate) struct CallIdentities<'a> {
    is_taken: fn(char) -> bool,
    longest: usize,
    /// Whether shorter identities are refused too.
    is_exact: bool,
    /// The number that an identity may get next where there is but one length.
    next: u32,
    given: HashSet<Cow<'a, str>>,
    /// Calls of the last answer without a result yet: their identity in the history, and on the wire.
    open: VecDeque<(&'a str, Cow<'a, str>)>,
}

impl<'a> CallIdentities<'a> {
    /// Begins a request of a wire that takes identities of these characters and this length.
    pub(crate) fn new(is_taken: fn(char) -> bool, longest: usize) -> Self {
        Self {
            is_taken,
            longest,
            is_exact: false,
            next: 1,
            given: HashSet::new(),
            open: VecDeque::new(),
        }
    }

    /// Begins a request of a wire that takes identities of these characters and of no other length.
    #[cfg(feature = "openai")]
    pub(crate) fn of_length(is_taken: fn(char) -> bool, length: usize) -> Self {
        Self {
            is_exact: true,
            ..Self::new(is_taken, length)
        }
    }

    /// Begins an answer: the calls of the one before have got what results they will get.
    pub(crate) fn begin_answer(&mut self) {
        self.open.clear();
    }

    /// Returns the identity of the next call.
    pub(crate) fn call(&mut self, id: &'a str) -> Cow<'a, str> {
        let shaped = self.shape(id);
        let mut own = shaped.clone();
        let mut number = 2_u32;
        while self.given.contains(&own) {
            own = Cow::Owned(if self.is_exact {
                // From where the last one stopped: the numbers below are given.
                self.next += 1;
                self.numbered(self.next)
            } else {
                let end = format!("_{number}");
                let room = self.longest.saturating_sub(end.len());
                let begin: String = shaped.chars().take(room).collect();
                begin + &end
            });
            number += 1;
        }
        self.given.insert(own.clone());
        self.open.push_back((id, own.clone()));
        own
    }

    /// Returns the identity of the call that the next result answers: of calls with one identity the
    /// first.
    pub(crate) fn result(&mut self, id: &'a str) -> Cow<'a, str> {
        let place = self.open.iter().position(|(own, _)| *own == id);
        match place.and_then(|place| self.open.remove(place)) {
            Some((_, given)) => given,
            None => self.shape(id),
        }
    }

    fn shape(&self, id: &'a str) -> Cow<'a, str> {
        if self.is_exact {
            let fits = id.chars().count() == self.longest && id.chars().all(self.is_taken);
            return if fits {
                Cow::Borrowed(id)
            } else {
                Cow::Owned(self.numbered(1))
            };
        }
        shape(id, self.is_taken, self.longest, "call")
    }

    /// Returns an identity of the one length that is taken: what the history has cannot be cut to it
    /// without two becoming one.
    fn numbered(&self, number: u32) -> String {
        format!("{number:0width$}", width = self.longest)
    }
}

/// Returns the name of a call as vendors take it. The model may have made it up; its result says that
/// there is no such tool.
pub(crate) fn wire_name(name: &str) -> Cow<'_, str> {
    shape(name, is_word, LONGEST_NAME, "unknown")
}

/// Letters, digits, `_` and `-`.
pub(crate) const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn shape<'a>(
    text: &'a str,
    is_taken: fn(char) -> bool,
    longest: usize,
    empty: &'static str,
) -> Cow<'a, str> {
    if text.is_empty() {
        return Cow::Borrowed(empty);
    }
    if text.chars().all(is_taken) && text.chars().count() <= longest {
        return Cow::Borrowed(text);
    }
    let replace = |c| if is_taken(c) { c } else { '_' };
    Cow::Owned(text.chars().take(longest).map(replace).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_unique_and_results_follow_their_calls() {
        let mut ids = CallIdentities::new(is_word, 8);
        assert_eq!(ids.call("a"), "a");
        assert_eq!(ids.call("a"), "a_2");
        assert_eq!(ids.call("a.b"), "a_b");
        assert_eq!(ids.call("a:b"), "a_b_2");
        assert_eq!(ids.call(""), "call");
        for (id, expected) in [
            ("", "call"),
            ("a:b", "a_b_2"),
            ("a", "a"),
            ("a", "a_2"),
            ("a.b", "a_b"),
        ] {
            assert_eq!(ids.result(id), expected);
        }

        ids.begin_answer();
        assert_eq!(ids.call("a"), "a_3");
        assert_eq!(ids.call("123456789"), "12345678");
        assert_eq!(ids.call("12345678"), "123456_2");
        assert_eq!(ids.result("a"), "a_3");
        assert_eq!(ids.result("12345678"), "123456_2");
    }

    #[cfg(feature = "openai")]
    #[test]
    fn identities_of_one_length_are_kept_or_numbered() {
        let mut ids = CallIdentities::of_length(|c| c.is_ascii_alphanumeric(), 9);
        assert_eq!(ids.call("D681PevKs"), "D681PevKs");
        assert_eq!(ids.call("call_1"), "000000001");
        assert_eq!(ids.call("call_2"), "000000002");
        assert_eq!(ids.call("D681PevKs"), "000000003");
        for (id, expected) in [
            ("call_2", "000000002"),
            ("D681PevKs", "D681PevKs"),
            ("call_1", "000000001"),
            ("D681PevKs", "000000003"),
        ] {
            assert_eq!(ids.result(id), expected);
        }
    }

    #[test]
    fn names_are_words_of_at_most_64_characters() {
        let long = "é".repeat(70);
        for (name, expected) in [
            ("get_weather", "get_weather".to_owned()),
            ("", "unknown".to_owned()),
            ("get weather.now", "get_weather_now".to_owned()),
            (&long, "_".repeat(64)),
        ] {
            assert_eq!(wire_name(name), expected);
        }
    }
}
