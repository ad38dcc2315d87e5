//! Events in AWS's binary form: two lengths and a checksum, headers, the payload, a checksum of all.
//!
//! It knows only headers that are texts, which is all that this wire has. The form is forty lines:
//! less than a dependency on the SDK's parts, which a simulator should not share with a client.

use bytes::Bytes;

/// The two lengths and their checksum.
const PRELUDE: usize = 12;

/// The checksum at the end.
const SUM: usize = 4;

/// Headers that are texts have this number before their length.
const TEXT: u8 = 7;

/// The checksums of all bytes.
const SUMS: [u32; 256] = sums();

/// Writes an event.
pub(super) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(TEXT);
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    seal(&bytes, payload)
}

/// Writes lengths and checksums anew, of an event whose payload was changed. What is no event stays
/// as it is.
pub(super) fn resealed(event: &Bytes) -> Bytes {
    let length = event.get(4..8).and_then(|bytes| bytes.try_into().ok());
    let length = length.map_or(usize::MAX, |bytes| u32::from_be_bytes(bytes) as usize);
    let inner = event.get(PRELUDE..event.len().saturating_sub(SUM));
    match inner.and_then(|inner| inner.split_at_checked(length)) {
        Some((headers, payload)) => seal(headers, payload),
        None => event.clone(),
    }
}

fn seal(headers: &[u8], payload: &[u8]) -> Bytes {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let mut event = Vec::with_capacity(PRELUDE + headers.len() + payload.len() + SUM);
    event.extend_from_slice(&length(event.capacity()));
    event.extend_from_slice(&length(headers.len()));
    event.extend_from_slice(&checksum(&event).to_be_bytes());
    event.extend_from_slice(headers);
    event.extend_from_slice(payload);
    event.extend_from_slice(&checksum(&event).to_be_bytes());
    event.into()
}

/// The CRC-32 of IEEE 802.3.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        let [lowest, ..] = sum.to_le_bytes();
        let place = usize::from(lowest ^ byte);
        SUMS.get(place).copied().unwrap_or_default() ^ (sum >> 8)
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[expect(
    clippy::indexing_slicing,
    reason = "the place is below the length, and this runs when the program is compiled"
)]
const fn sums() -> [u32; 256] {
    let mut sums = [0; 256];
    let mut place = 0;
    while place < sums.len() {
        let mut sum = place as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = (sum >> 1) ^ (0xEDB8_8320 * (sum & 1));
            bit += 1;
        }
        sums[place] = sum;
        place += 1;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bedrock::UNKNOWN_EVENT;

    #[test]
    fn checksum_is_the_usual_one() {
        assert_eq!(checksum(b"123456789"), 0xCBF4_3926);
        assert_eq!(checksum(b""), 0);
    }

    #[test]
    fn event_is_as_the_vendor_writes_it() {
        // From the format's own test vectors: an event without headers and payload.
        let empty = [0, 0, 0, 16, 0, 0, 0, 0, 5, 194, 72, 235, 125, 152, 200, 255];
        assert_eq!(frame(&[], b""), empty.as_slice());

        let unknown = frame(
            &[
                (":event-type", "steadfastSimIsAlive"),
                (":content-type", "application/json"),
                (":message-type", "event"),
            ],
            b"{}",
        );
        assert_eq!(unknown, UNKNOWN_EVENT);
    }

    #[test]
    fn changed_event_is_sealed_again() {
        let headers = [(":event-type", "x")];
        let mut changed = frame(&headers, b"ab").to_vec();
        changed.splice(changed.len() - 5..changed.len() - 5, *b"c");

        assert_eq!(resealed(&changed.into()), frame(&headers, b"acb"));
        for odd in [b"".as_slice(), b"12345", &[0xFF; 40]] {
            assert_eq!(resealed(&Bytes::from_static(odd)), odd);
        }
    }
}
