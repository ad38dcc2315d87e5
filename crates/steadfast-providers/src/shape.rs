//! Objects of an answer, read into the place where they stay: an object in a list in an object would
//! otherwise be moved at every brace, which costs as much as reading it. What they mean is each
//! wire's.
//!
//! The parts of it are small and many, so they are marked to be inlined: that is a tenth of the cost.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor},
};
use serde_json::value::RawValue;

use crate::scalar::{Count, Text, Word};

/// An object of which some fields are known; the others are passed over.
pub(crate) trait Shape<'de>: Default {
    /// Reads the value of a field.
    fn read_field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Declares an object by the names of its fields. Each may be missing, or null.
macro_rules! shape {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $shape:ident $(<$text:lifetime>)? {
            $($(#[$field_attribute:meta])* $name:literal => $field:ident: $type:ty,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Default)]
        $visibility struct $shape $(<$text>)? {
            $($(#[$field_attribute])* $visibility $field: Option<$type>,)+
        }

        impl<'de $(: $text, $text)?> $crate::shape::Shape<'de> for $shape $(<$text>)?
        $(where $text: 'de)?
        {
            #[inline]
            fn read_field<A: serde::de::MapAccess<'de>>(
                &mut self,
                name: &str,
                map: &mut A,
            ) -> Result<(), A::Error> {
                use $crate::shape::Slot;
                match name {
                    $($name => map.next_value_seed(Slot(&mut self.$field)),)+
                    _ => map.next_value::<serde::de::IgnoredAny>().map(drop),
                }
            }
        }

        impl<'de $(: $text, $text)?> $crate::shape::Field<'de> for $shape $(<$text>)?
        $(where $text: 'de)?
        {
            #[inline]
            fn read_into<D: serde::Deserializer<'de>>(
                slot: &mut Option<Self>,
                deserializer: D,
            ) -> Result<(), D::Error> {
                $crate::shape::read_object(slot, deserializer)
            }
        }
    };
}
pub(crate) use shape;

/// What a field can hold.
pub(crate) trait Field<'de>: Sized {
    /// Reads a value into its place; null is nothing.
    fn read_into<D: Deserializer<'de>>(
        slot: &mut Option<Self>,
        deserializer: D,
    ) -> Result<(), D::Error>;
}

/// Declares what a field can hold: all that serde reads.
macro_rules! plain_fields {
    ($($type:ty,)+) => {$(
        impl<'de> $crate::shape::Field<'de> for $type {
            #[inline]
            fn read_into<D: serde::Deserializer<'de>>(
                slot: &mut Option<Self>,
                deserializer: D,
            ) -> Result<(), D::Error> {
                *slot = serde::Deserialize::deserialize(deserializer)?;
                Ok(())
            }
        }
    )+};
}
#[cfg(any(feature = "ollama", feature = "openai"))]
pub(crate) use plain_fields;

plain_fields! {
    Text<'de>, Word<'de>, &'de RawValue, Count, usize, u32, bool,
}

/// The place of a field.
pub(crate) struct Slot<'s, T>(pub(crate) &'s mut Option<T>);

impl<'de, T: Field<'de>> DeserializeSeed<'de> for Slot<'_, T> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        T::read_into(self.0, deserializer)
    }
}

/// Reads an event, or a body, into its shape.
pub(crate) fn read_shape<'a, T: Shape<'a>>(
    shape: &mut T,
    json: &'a [u8],
) -> serde_json::Result<()> {
    // Where all of it is a text, no text in it is looked through once more. In what is passed over,
    // what is no text is no error.
    match str::from_utf8(json) {
        Ok(json) => read_whole(shape, serde_json::Deserializer::from_str(json)),
        Err(_) => read_whole(shape, serde_json::Deserializer::from_slice(json)),
    }
}

fn read_whole<'a, T: Shape<'a>, R: serde_json::de::Read<'a>>(
    shape: &mut T,
    mut deserializer: serde_json::Deserializer<R>,
) -> serde_json::Result<()> {
    (&mut deserializer).deserialize_struct("", &[], ObjectVisitor(shape))?;
    deserializer.end()
}

/// Reads an object, or null, into its place.
#[inline]
pub(crate) fn read_object<'de, T: Shape<'de>, D: Deserializer<'de>>(
    slot: &mut Option<T>,
    deserializer: D,
) -> Result<(), D::Error> {
    deserializer.deserialize_option(SlotVisitor(slot))
}

struct SlotVisitor<'s, T>(&'s mut Option<T>);

impl<'de, T: Shape<'de>> Visitor<'de> for SlotVisitor<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        *self.0 = None;
        Ok(())
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let object = ObjectVisitor(self.0.insert(T::default()));
        deserializer.deserialize_struct("", &[], object)
    }
}

struct ObjectVisitor<'s, T>(&'s mut T);

impl<'de, T: Shape<'de>> Visitor<'de> for ObjectVisitor<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Word(name)) = map.next_key()? {
            self.0.read_field(&name, &mut map)?;
        }
        Ok(())
    }

    /// In some languages an object without fields is a list without entries.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        match list.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::invalid_type(Unexpected::Seq, &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    shape! {
        struct Outer<'a> {
            "inner" => inner: Inner<'a>,
            "count" => count: usize,
        }
    }

    shape! {
        struct Inner<'a> {
            "text" => text: Text<'a>,
        }
    }

    /// What an event says: its text if it has one, and its count.
    type Said = (Option<Option<String>>, Option<usize>);

    fn check(json: &str, expected: Option<Said>) {
        let mut outer = Outer::default();
        let read = read_shape(&mut outer, json.as_bytes());
        let text = |inner: Inner<'_>| inner.text.map(|Text(text)| text.into_owned());
        let said = read.ok().map(|()| (outer.inner.map(text), outer.count));
        assert_eq!(said, expected, "{json}");
    }

    #[test]
    fn fields_are_read_in_any_order_and_the_unknown_are_passed_over() {
        let said = |text: &str, count| Some((Some(Some(text.to_owned())), Some(count)));
        check(r#"{"inner":{"text":"a"},"count":1}"#, said("a", 1));
        check(
            r#" {"new":[{"inner":2}],"count":1,"inner":{"x":{},"text":"a"}} "#,
            said("a", 1),
        );
        check(r#"{"\u0063ount":1,"inner":{"text":"\n"}}"#, said("\n", 1));
        check("{}", Some((None, None)));
        check("[]", Some((None, None)));
        check(r#"{"inner":[]}"#, Some((Some(None), None)));
        check(r#"{"inner":{}}"#, Some((Some(None), None)));
        check(r#"{"inner":null,"count":null}"#, Some((None, None)));
        check(r#"{"inner":{"text":null}}"#, Some((Some(None), None)));
    }

    #[test]
    fn what_is_no_such_object_is_refused() {
        for json in [
            "",
            "null",
            "[{}]",
            "{",
            "{oops",
            r#"{"count":1} 2"#,
            r#"{"count":1"#,
            r#"{"count":-1}"#,
            r#"{"count":"1"}"#,
            r#"{"inner":[1]}"#,
            r#"{"inner":{"text":1}}"#,
            r#"{"new":[}"#,
        ] {
            check(json, None);
        }
    }

    #[test]
    fn bytes_that_are_no_text_may_stand_in_what_is_passed_over() {
        let mut outer = Outer::default();
        let event = b"{\"new\":\"\xff\",\"count\":1}";
        assert!(read_shape(&mut outer, event).is_ok());
        assert_eq!(outer.count, Some(1));

        let event = b"{\"inner\":{\"text\":\"\xff\"}}";
        assert!(read_shape(&mut Outer::default(), event).is_err());
    }
}
