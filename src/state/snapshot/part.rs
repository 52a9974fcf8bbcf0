//! Rows of one space as files that are the same whenever their rows are.
//!
//! A part is, decompressed, for each row: `u32` length of the key, the key, `u32` length of the value,
//! the value, little-endian, in the order of the scan. It ends behind a row whose key's hash says so, not
//! after so many rows: a row that is added or removed changes the part that it is in and leaves the
//! others as they were (content-defined chunking, as rsync and LBFS have it, with rows instead of bytes).

use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use twox_hash::XxHash3_64;

/// Compression that costs less time than it saves in upload.
const ZSTD_LEVEL: i32 = 1;

/// How large parts are, in bytes before compression.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// None is smaller, unless it is the last of its space.
    pub least_bytes: usize,
    /// On average they have so much more.
    pub further_bytes: usize,
    /// None begins another row behind this size.
    pub most_bytes: usize,
}

impl Default for Cut {
    fn default() -> Self {
        Self { least_bytes: 1 << 20, further_bytes: 2 << 20, most_bytes: 16 << 20 }
    }
}

impl Cut {
    fn ends_behind(&self, key: &[u8], row_bytes: usize, length: usize) -> bool {
        if length < self.least_bytes {
            return false;
        }
        // The chance of an end grows with the row, so that parts have one size whatever rows have.
        let bound = (u64::MAX / self.further_bytes.max(1) as u64).saturating_mul(row_bytes as u64);
        length >= self.most_bytes || XxHash3_64::oneshot(key) < bound
    }
}

/// Rows on their way into parts.
pub(super) struct Cutter {
    cut: Cut,
    open: Open,
}

/// Rows of one part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) content: Vec<u8>,
    pub(super) rows: u64,
}

impl Cutter {
    pub(super) fn new(cut: Cut) -> Self {
        Self { cut, open: Open::default() }
    }

    /// Adds a row; a part, if it ends there.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`]: key or value has 4 GiB or more.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Open>> {
        let before = self.open.content.len();
        put(key, &mut self.open.content)?;
        put(value, &mut self.open.content)?;
        self.open.rows += 1;
        let length = self.open.content.len();
        let ends = self.cut.ends_behind(key, length - before, length);
        Ok(ends.then(|| std::mem::take(&mut self.open)))
    }

    /// What is left, if anything.
    pub(super) fn finish(self) -> Option<Open> {
        (self.open.rows > 0).then_some(self.open)
    }
}

fn put(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let length = u32::try_from(bytes.len())
        .map_err(|_| Error::Encode("a key or value of state has 4 GiB or more".into()))?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// SHA-256 in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

pub(super) fn compress(content: &[u8]) -> Result<Vec<u8>> {
    zstd::bulk::compress(content, ZSTD_LEVEL)
        .map_err(|error| Error::io("snapshots: compressing a part", &error))
}

/// The content of a part of `bytes` bytes with this hash.
///
/// # Errors
///
/// A sentence, if it is anything else.
pub(super) fn open(stored: &[u8], bytes: u64, hash: &str) -> Result<Vec<u8>, String> {
    let capacity = usize::try_from(bytes).map_err(|_| "is larger than memory".to_owned())?;
    let content = zstd::bulk::decompress(stored, capacity)
        .map_err(|error| format!("cannot be decompressed: {error}"))?;
    if content.len() as u64 != bytes {
        return Err(format!("has {} bytes instead of {bytes}", content.len()));
    }
    if sha256(&content) != hash {
        return Err("has another SHA-256 than its manifest says".into());
    }
    Ok(content)
}

/// Calls `each` with every row of `content`.
///
/// # Errors
///
/// [`Error::Encode`] if it is not what a [`Cutter`] makes, or what `each` returns.
pub(super) fn rows(
    mut content: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<u64> {
    let torn = || Error::Encode("a part of a snapshot ends inside a row".into());
    let mut count = 0;
    while !content.is_empty() {
        let key = take(&mut content).ok_or_else(torn)?;
        let value = take(&mut content).ok_or_else(torn)?;
        each(key, value)?;
        count += 1;
    }
    Ok(count)
}

fn take<'a>(content: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(content.split_off(..4)?.try_into().ok()?);
    content.split_off(..length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const SMALL: Cut = Cut { least_bytes: 200, further_bytes: 400, most_bytes: 2_000 };

    fn parts(map: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<Open> {
        let mut cutter = Cutter::new(SMALL);
        let mut parts: Vec<_> =
            map.iter().filter_map(|(key, value)| cutter.push(key, value).unwrap()).collect();
        parts.extend(cutter.finish());
        parts
    }

    fn numbered(count: u32) -> BTreeMap<Vec<u8>, Vec<u8>> {
        (0..count).map(|n| (n.to_be_bytes().to_vec(), vec![0; 20])).collect()
    }

    #[test]
    fn a_change_of_one_row_changes_one_part_or_two() {
        let mut map = numbered(2_000);
        let hashes =
            |map: &_| parts(map).iter().map(|p| sha256(&p.content)).collect::<BTreeSet<_>>();
        let before = hashes(&map);
        assert!(before.len() > 40, "{}", before.len());
        map.insert(vec![0, 0, 3, 9, 1], b"new".to_vec());
        map.remove(1_500_u32.to_be_bytes().as_slice());
        let new = hashes(&map).difference(&before).count();
        assert!((1..=4).contains(&new), "{new} of {} parts are new", before.len());
    }

    #[test]
    fn a_part_is_opened_only_as_what_it_was() {
        let content = b"some rows, some rows, some rows".to_vec();
        let (stored, hash) = (compress(&content).unwrap(), sha256(&content));
        let bytes = content.len() as u64;
        assert_eq!(open(&stored, bytes, &hash).unwrap(), content);
        assert!(open(&stored, bytes + 1, &hash).is_err());
        assert!(open(&stored, bytes - 1, &hash).is_err());
        assert!(open(&stored, bytes, &sha256(b"other")).is_err());
        assert!(open(&stored[..stored.len() - 1], bytes, &hash).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn parts_have_all_rows_in_order(
            map in prop::collection::btree_map(
                prop::collection::vec(any::<u8>(), 0..30), prop::collection::vec(any::<u8>(), 0..60), 0..80,
            ),
        ) {
            let mut found = Vec::new();
            for part in parts(&map) {
                let count = rows(&part.content, |key, value| {
                    found.push((key.to_vec(), value.to_vec()));
                    Ok(())
                });
                prop_assert_eq!(count.unwrap(), part.rows);
            }
            prop_assert_eq!(found, map.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_give_rows_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut length = 0;
            let read = rows(&bytes, |key, value| { length += 8 + key.len() + value.len(); Ok(()) });
            prop_assert!(read.is_err() || length == bytes.len());
        }
    }
}
