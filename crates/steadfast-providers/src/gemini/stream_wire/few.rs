//! A list that mostly has one entry, which then needs no room of its own on the heap. It is gone
//! through once, and nothing else.

use std::{fmt, iter::Chain, marker::PhantomData, option, vec};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

/// The entries of a list.
pub(super) struct Few<T> {
    first: Option<T>,
    rest: Vec<T>,
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = Chain<option::IntoIter<T>, vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FewVisitor<T> {
    type Value = Few<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few<T>, A::Error> {
        let first = list.next_element()?;
        let mut rest = Vec::new();
        // At the end of a list there is nothing more to ask for.
        while first.is_some()
            && let Some(entry) = list.next_element()?
        {
            rest.push(entry);
        }
        Ok(Few { first, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_their_order() {
        for json in ["[]", "[1]", "[1,2,3]"] {
            let few: Few<u8> = serde_json::from_str(json).unwrap();
            let entries: Vec<u8> = few.into_iter().collect();
            assert_eq!(serde_json::to_string(&entries).unwrap(), json);
        }
        assert!(serde_json::from_str::<Few<u8>>("{}").is_err());
    }
}
