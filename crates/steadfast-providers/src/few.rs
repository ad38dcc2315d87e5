//! A list that mostly has one entry, which then needs no room of its own on the heap.

use std::{fmt, iter::Chain, option, slice};

use serde::{
    Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use crate::shape::{Field, Slot};

/// The entries of a list; null is none.
pub(crate) struct Few<T> {
    first: Option<T>,
    rest: Vec<T>,
}

impl<T> Few<T> {
    /// Returns whether there is no entry.
    #[cfg(feature = "openai")]
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Returns whether there is more than one entry.
    #[cfg(feature = "openai")]
    pub(crate) const fn are_several(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Goes through the entries where they are.
    pub(crate) fn iter_mut(&mut self) -> Chain<option::IterMut<'_, T>, slice::IterMut<'_, T>> {
        self.first.iter_mut().chain(&mut self.rest)
    }
}

impl<'de, T: Field<'de>> Field<'de> for Few<T> {
    #[inline]
    fn read_into<D: Deserializer<'de>>(
        slot: &mut Option<Self>,
        deserializer: D,
    ) -> Result<(), D::Error> {
        deserializer.deserialize_any(FewVisitor(slot))
    }
}

struct FewVisitor<'s, T>(&'s mut Option<Few<T>>);

impl<'de, T: Field<'de>> Visitor<'de> for FewVisitor<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        *self.0 = None;
        Ok(())
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let few = self.0.insert(Few {
            first: None,
            rest: Vec::new(),
        });
        while few.first.is_none() {
            if list.next_element_seed(Slot(&mut few.first))?.is_none() {
                return Ok(());
            }
        }
        let mut next = None;
        while list.next_element_seed(Slot(&mut next))?.is_some() {
            few.rest.extend(next.take());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeSeed as _;

    use super::*;

    fn read(json: &str) -> serde_json::Result<Vec<usize>> {
        let mut few: Option<Few<usize>> = None;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        Slot(&mut few).deserialize(&mut deserializer)?;
        Ok(few
            .iter_mut()
            .flat_map(Few::iter_mut)
            .map(|entry| *entry)
            .collect())
    }

    #[test]
    fn entries_come_in_their_order() {
        for (json, expected) in [
            ("[]", &[][..]),
            ("null", &[]),
            ("[1]", &[1]),
            ("[1,2,3]", &[1, 2, 3]),
            ("[null,1,null,2]", &[1, 2]),
        ] {
            assert_eq!(read(json).unwrap(), expected, "{json}");
        }
        assert!(read("{}").is_err());
        assert!(read("[1,{}]").is_err());
    }
}
