//! The identity of a run. It carries no meaning.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The identity of a run, written as 32 hexadecimal digits.
///
/// Two random numbers of the [`Runtime`](crate::Runtime): with tokio they follow from one seed of 64
/// bits of the system's.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(u128);

impl RunId {
    pub(crate) const fn from_bits(high: u64, low: u64) -> Self {
        Self(((high as u128) << 64) | low as u128)
    }
}

/// The number that its digits write, for identities that are made from it.
///
/// ```
/// use steadfast_core::RunId;
///
/// let run: RunId = "0000000000000000000000000000002a".parse()?;
/// assert_eq!(u128::from(run), 42);
/// # Ok::<(), std::num::ParseIntError>(())
/// ```
impl From<RunId> for u128 {
    fn from(run: RunId) -> Self {
        run.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

impl FromStr for RunId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
