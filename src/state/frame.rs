//! One commit as bytes: length, CRC-32C, input offset, writes.
//!
//! All numbers are little-endian: `u32` length of what follows the checksum, `u32` checksum of it,
//! `i64` input offset, `u32` number of writes, and for each `u32` length of the key, the key, `u32`
//! length of the value (`u32::MAX`: the key is removed), the value.

use super::Writes;
use crate::error::{Error, Result};

/// Bytes in front of the content: length and checksum.
const HEAD: usize = 8;
const REMOVED: u32 = u32::MAX;

/// What is at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A commit and the bytes that it takes.
    Whole(Writes, i64, usize),
    /// A commit whose writing was interrupted, or nothing.
    Torn,
    /// Not what [`encode`] writes.
    Damaged,
}

/// Appends a commit to `out`.
///
/// # Errors
///
/// [`Error::Encode`] if it has 4 GiB or more.
pub(super) fn encode<'a>(
    writes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    next: i64,
    out: &mut Vec<u8>,
) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    out.extend_from_slice(&next.to_le_bytes());
    let count_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut count = 0_u32;
    for (key, value) in writes {
        put(key, out)?;
        match value {
            Some(value) => put(value, out)?,
            None => out.extend_from_slice(&REMOVED.to_le_bytes()),
        }
        count += 1;
    }
    out[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
    let content = start + HEAD;
    let length = length(out.len() - content)?;
    let checksum = crc32c::crc32c(&out[content..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..content].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

fn put(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(&length(bytes.len())?.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn length(bytes: usize) -> Result<u32> {
    u32::try_from(bytes).ok().filter(|&n| n != REMOVED).ok_or_else(|| {
        Error::Encode("a checkpoint has 4 GiB or more: shorten checkpoint_interval".into())
    })
}

/// Reads the commit at the beginning of `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Found {
    let mut head = bytes;
    let (Some(length), Some(checksum)) = (number(&mut head), number(&mut head)) else {
        return Found::Torn;
    };
    let Some(content) = head.get(..length as usize) else { return Found::Torn };
    let size = HEAD + content.len();
    if crc32c::crc32c(content) != checksum {
        // Each commit is on the disk before the next one begins: only the last can be incomplete.
        return if size == bytes.len() { Found::Torn } else { Found::Damaged };
    }
    read(content).map_or(Found::Damaged, |(writes, next)| Found::Whole(writes, next, size))
}

fn read(mut content: &[u8]) -> Option<(Writes, i64)> {
    let next = i64::from_le_bytes(content.split_off(..8)?.try_into().ok()?);
    let count = number(&mut content)?;
    let mut writes = Vec::new();
    for _ in 0..count {
        let length = number(&mut content)?;
        let key = content.split_off(..length as usize)?.to_vec();
        let value = match number(&mut content)? {
            REMOVED => None,
            length => Some(content.split_off(..length as usize)?.to_vec()),
        };
        writes.push((key, value));
    }
    content.is_empty().then_some((Writes(writes), next))
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.split_off(..4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn writes() -> impl Strategy<Value = Vec<(Vec<u8>, Option<Vec<u8>>)>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        prop::collection::vec((bytes(), prop::option::of(bytes())), 0..8)
    }

    fn encoded(writes: &[(Vec<u8>, Option<Vec<u8>>)], next: i64) -> Vec<u8> {
        let mut out = Vec::new();
        let each = writes.iter().map(|(k, v)| (k.as_slice(), v.as_deref()));
        encode(each, next, &mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn a_commit_is_read_back_and_a_part_of_it_is_torn(writes in writes(), next: i64, cut: prop::sample::Index) {
            let bytes = encoded(&writes, next);
            prop_assert_eq!(decode(&bytes), Found::Whole(Writes(writes), next, bytes.len()));
            prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())]), Found::Torn);
        }

        #[test]
        fn a_wrong_bit_is_never_a_commit(writes in writes(), bit: prop::sample::Index) {
            let mut bytes = encoded(&writes, 7);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!matches!(decode(&bytes), Found::Whole(..)));
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!matches!(decode(&bytes), Found::Whole(..)));
        }
    }
}
