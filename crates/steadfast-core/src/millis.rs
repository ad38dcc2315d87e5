//! The stored form of durations: milliseconds, whole where they are whole.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Cuts a measured duration to whole microseconds: finer than any event is, and readable as stored.
pub(crate) const fn to_micros(duration: Duration) -> Duration {
    let nanos = duration.subsec_nanos();
    Duration::new(duration.as_secs(), nanos - nanos % 1_000)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "saturated before the cast; a double holds the nanoseconds of a hundred days"
)]
pub(crate) fn serialize<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if duration.subsec_nanos().is_multiple_of(1_000_000) {
        serializer.serialize_u64(duration.as_millis().min(u128::from(u64::MAX)) as u64)
    } else {
        // From whole nanoseconds, so that the shortest form that reads back the same is written.
        serializer.serialize_f64(duration.as_nanos() as f64 / 1e6)
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let millis = f64::deserialize(deserializer)?;
    // To whole nanoseconds, so that what was written as a fraction of milliseconds loads back equal.
    let seconds = (millis * 1e6).round() / 1e9;
    if seconds >= Duration::MAX.as_secs_f64() {
        return Ok(Duration::MAX);
    }
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

pub(crate) mod option {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Wrapped(#[serde(with = "super")] Duration);
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }
}
