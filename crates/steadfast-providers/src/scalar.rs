//! Texts and counts of an answer, as serde reads them. What they stand for is each wire's.

use std::{borrow::Cow, fmt};

use memchr::memchr;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor},
};
use serde_json::value::RawValue;

#[cfg(any(feature = "ollama", feature = "openai"))]
use crate::shape::plain_fields;

/// A word: a type, a name, an identity. It is borrowed where it has no escapes; `Option<Cow>` alone
/// would always be copied.
#[derive(Deserialize)]
pub(crate) struct Word<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A text that is borrowed where it has no escapes. One that has them is written once, where it
/// stays; serde_json would write it into a room of its own first.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Self::of(raw).ok_or_else(|| unexpected(raw.get(), "a text"))
    }
}

impl<'a> Text<'a> {
    /// Reads a text; none if it is something else.
    #[inline]
    pub(crate) fn of(raw: &'a RawValue) -> Option<Self> {
        Some(Self(unescape(quoted(raw.get())?)))
    }
}

/// Returns what stands between quotes, if JSON is a text.
fn quoted(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

/// Says what JSON is instead of what was expected.
pub(crate) fn unexpected<E: Error>(json: &str, expected: &str) -> E {
    let found = match json.bytes().next() {
        Some(b'{') => Unexpected::Map,
        Some(b'[') => Unexpected::Seq,
        Some(b'"') => Unexpected::Other("a text"),
        Some(b'n') => Unexpected::Unit,
        Some(b't') => Unexpected::Bool(true),
        Some(b'f') => Unexpected::Bool(false),
        _ => Unexpected::Other("a number"),
    };
    E::invalid_type(found, &expected)
}

/// Reads the escapes of a text, which are known to be escapes. Half a character that stands alone is
/// replaced: models write such tokens.
#[inline]
fn unescape(json: &str) -> Cow<'_, str> {
    match memchr(b'\\', json.as_bytes()) {
        None => Cow::Borrowed(json),
        Some(first) => Cow::Owned(unescaped(json, first)),
    }
}

fn unescaped(json: &str, first: usize) -> String {
    let mut text = String::with_capacity(json.len());
    let (mut kept, mut escape) = (0, first);
    loop {
        text.push_str(json.get(kept..escape).unwrap_or_default());
        let letter = json.as_bytes().get(escape + 1).copied();
        kept = escape + 2;
        text.push(match letter {
            Some(b'u') => {
                let (character, length) = escaped_character(json, escape);
                kept = escape + length;
                character
            }
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            letter => char::from(letter.unwrap_or(b'\\')),
        });
        let rest = json.get(kept..).unwrap_or_default();
        let Some(next) = memchr(b'\\', rest.as_bytes()) else {
            text.push_str(rest);
            return text;
        };
        escape = kept + next;
    }
}

/// Reads a character that is escaped by its number, in one half or two, and how long that is.
fn escaped_character(json: &str, start: usize) -> (char, usize) {
    let Some(unit) = escaped_unit(json, start) else {
        return (char::REPLACEMENT_CHARACTER, 2);
    };
    let second = match unit {
        0xD800..=0xDBFF => escaped_unit(json, start + 6),
        _ => None,
    };
    match second {
        Some(second @ 0xDC00..=0xDFFF) => {
            let number = 0x1_0000 + ((unit - 0xD800) << 10) + (second - 0xDC00);
            let character = char::from_u32(number);
            (character.unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        _ => {
            let character = char::from_u32(unit);
            (character.unwrap_or(char::REPLACEMENT_CHARACTER), 6)
        }
    }
}

/// Arguments of a call: on OpenAI's wires JSON in a string, on Ollama's the object itself; some
/// servers send the other.
#[cfg(any(feature = "ollama", feature = "openai"))]
pub(crate) struct Arguments<'a>(pub(crate) Cow<'a, str>);

#[cfg(any(feature = "ollama", feature = "openai"))]
impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self(quoted(raw).map_or(Cow::Borrowed(raw), unescape)))
    }
}

#[cfg(any(feature = "ollama", feature = "openai"))]
plain_fields! { Arguments<'de>, }

/// A count of tokens; none where it is no count. What an answer cost is no reason to lose it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<Count, E> {
        Ok(Count(Some(count)))
    }

    fn visit_i64<E: Error>(self, count: i64) -> Result<Count, E> {
        Ok(Count(u64::try_from(count).ok()))
    }

    fn visit_f64<E: Error>(self, count: f64) -> Result<Count, E> {
        // JavaScript writes large and whole numbers like this too; a float shows whole ones whole.
        self.visit_str(&count.to_string())
    }

    fn visit_str<E: Error>(self, count: &str) -> Result<Count, E> {
        Ok(Count(count.trim().parse().ok()))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_unit<E: Error>(self) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Count, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Count(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count(None))
    }
}

/// Reads what an answer cost, if it can be read.
#[cfg(any(feature = "anthropic", feature = "openai"))]
pub(crate) fn read_usage<T: serde::de::DeserializeOwned>(raw: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// Returns whether an error that stands beside an answer says anything: some servers send an empty
/// one with every event.
pub(crate) fn is_error(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|error| !matches!(error.get(), "null" | "false" | "\"\"" | "{}"))
}

/// Replaces halves of a character that stand alone, as `\ud83d` does, so that the rest of the text
/// can be read; none where there is none. Models write such tokens.
pub(crate) fn mend_surrogates(json: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(json).ok()?;
    let mut mended = String::new();
    let (mut kept, mut at) = (0, 0);
    while let Some(found) = text.get(at..)?.find('\\') {
        let start = at + found;
        at = start + 2;
        let Some(unit) = escaped_unit(text, start) else {
            continue;
        };
        at = start + 6;
        match unit {
            0xD800..=0xDBFF if matches!(escaped_unit(text, at), Some(0xDC00..=0xDFFF)) => at += 6,
            0xD800..=0xDFFF => {
                mended.push_str(text.get(kept..start)?);
                mended.push('\u{fffd}');
                kept = at;
            }
            _ => {}
        }
    }
    if mended.is_empty() {
        return None;
    }
    mended.push_str(text.get(kept..)?);
    Some(mended.into_bytes())
}

/// Reads an escape such as `\u00e9`.
fn escaped_unit(text: &str, start: usize) -> Option<u32> {
    let digits = text.get(start..start + 6)?.strip_prefix("\\u")?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_in_any_form() {
        for (json, expected) in [
            ("10", Some(10)),
            ("10.0", Some(10)),
            ("\"10\"", Some(10)),
            ("1e3", Some(1_000)),
            ("-1", None),
            ("1.5", None),
            ("1e30", None),
            ("null", None),
            ("true", None),
            ("[1]", None),
            ("{\"a\":1}", None),
        ] {
            let count: Count = serde_json::from_str(json).unwrap();
            assert_eq!(count, Count(expected), "{json}");
        }
    }

    #[test]
    fn texts_are_read_as_serde_json_reads_them() {
        for json in [
            r#""""#,
            r#""é ☔ 東京""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u0041\u00e9\u2614\ud83d\ude00é""#,
            r#""a\\u0041""#,
            r#""\\\\\"""#,
        ] {
            let Text(text) = serde_json::from_str(json).unwrap();
            let expected: String = serde_json::from_str(json).unwrap();
            assert_eq!(text, expected, "{json}");
        }
        for json in [
            "7",
            "null",
            "[\"a\"]",
            "{}",
            "\"\\x\"",
            "\"\\u00g0\"",
            "\"a",
        ] {
            assert!(serde_json::from_str::<Text<'_>>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn half_a_character_in_a_text_is_replaced() {
        for (json, expected) in [
            (r#""a\ud83db""#, "a\u{fffd}b"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
        ] {
            let Text(text) = serde_json::from_str(json).unwrap();
            assert_eq!(text, expected, "{json}");
        }
    }

    #[test]
    fn halves_of_characters_are_replaced_and_nothing_else() {
        for (json, expected) in [
            (r#""a\ud83db""#, Some("\"a\u{fffd}b\"")),
            (r#""\ude00\ud83d""#, Some("\"\u{fffd}\u{fffd}\"")),
            (
                r#""\ud83d\ud83d\ude00""#,
                Some("\"\u{fffd}\\ud83d\\ude00\""),
            ),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud83d \u00e9 \n""#, None),
            (r#""é\"#, None),
        ] {
            let mended = mend_surrogates(json.as_bytes());
            assert_eq!(mended.as_deref(), expected.map(str::as_bytes), "{json}");
        }
    }
}
