//! Changes of several spaces, and their form in bytes.
//!
//! All numbers are little-endian: for each space `u16` number, `u32` number of writes, and for each
//! write `u32` length of the key, the key, `u32` length of the value (`u32::MAX`: the key is removed),
//! the value. Whoever keeps the bytes adds the checksum.

use super::{Space, Writes};
use crate::error::{Error, Result};

const REMOVED: u32 = u32::MAX;

/// Changes of several spaces that take effect together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta(pub Vec<(Space, Writes)>);

impl Delta {
    /// True if nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, writes)| writes.0.is_empty())
    }

    /// Number of writes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|(_, writes)| writes.0.len()).sum()
    }

    /// Bytes of its keys and values.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        let rows = self.0.iter().flat_map(|(_, writes)| &writes.0);
        rows.map(|(key, value)| (key.len() + value.as_ref().map_or(0, Vec::len)) as u64).sum()
    }

    /// Adds changes that come later.
    pub fn push(&mut self, space: Space, writes: Writes) {
        match self.0.iter_mut().find(|(known, _)| *known == space) {
            Some((_, known)) => known.0.extend(writes.0),
            None => self.0.push((space, writes)),
        }
    }

    /// Adds all changes of a later delta.
    pub fn extend(&mut self, later: Self) {
        later.0.into_iter().for_each(|(space, writes)| self.push(space, writes));
    }

    /// Drops every write that a later one to the same key replaces.
    pub fn keep_last(&mut self) {
        for (_, writes) in &mut self.0 {
            // Batches come with their keys in order: sorting merges a few runs.
            writes.0.sort_by(|a, b| a.0.cmp(&b.0));
            writes.0.dedup_by(|later, kept| {
                let is_same = later.0 == kept.0;
                if is_same {
                    std::mem::swap(later, kept);
                }
                is_same
            });
        }
    }

    /// Appends its bytes to `out`.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] if a key, a value or the number of writes does not fit into 32 bits.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        for (space, writes) in &self.0 {
            out.extend_from_slice(&space.0.to_le_bytes());
            out.extend_from_slice(&length(writes.0.len())?.to_le_bytes());
            for (key, value) in &writes.0 {
                put(key, out)?;
                match value {
                    Some(value) => put(value, out)?,
                    None => out.extend_from_slice(&REMOVED.to_le_bytes()),
                }
            }
        }
        Ok(())
    }

    /// Reads what [`Delta::encode`] has written; none if it is anything else.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut delta = Self::default();
        while !bytes.is_empty() {
            let space = u16::from_le_bytes(bytes.split_off(..2)?.try_into().ok()?);
            let writes = (0..number(&mut bytes)?).map(|_| write(&mut bytes));
            delta.0.push((Space(space), Writes(writes.collect::<Option<_>>()?)));
        }
        Some(delta)
    }
}

fn put(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(&length(bytes.len())?.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn length(count: usize) -> Result<u32> {
    u32::try_from(count).ok().filter(|&count| count != REMOVED).ok_or_else(|| {
        Error::Encode("a key, a value or a commit of the state has 4 GiB or more".into())
    })
}

fn write(bytes: &mut &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let length = number(bytes)?;
    let key = bytes.split_off(..length as usize)?.to_vec();
    let value = match number(bytes)? {
        REMOVED => None,
        length => Some(bytes.split_off(..length as usize)?.to_vec()),
    };
    Some((key, value))
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.split_off(..4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn delta() -> impl Strategy<Value = Delta> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        let writes = prop::collection::vec((bytes(), prop::option::of(bytes())), 0..6);
        let space = (any::<u16>().prop_map(Space), writes.prop_map(Writes));
        prop::collection::vec(space, 0..4).prop_map(Delta)
    }

    fn content(delta: &Delta) -> HashMap<(Space, &[u8]), Option<&[u8]>> {
        let writes =
            delta.0.iter().flat_map(|(space, writes)| writes.0.iter().map(|one| (*space, one)));
        writes.map(|(space, (key, value))| ((space, key.as_slice()), value.as_deref())).collect()
    }

    proptest! {
        /// However often keys were written, what they have in the end stays, and each is written once.
        #[test]
        fn the_last_write_of_a_key_is_kept(
            rounds in prop::collection::vec(prop::collection::vec((0_u8..6, prop::option::of(any::<u8>())), 0..8), 0..5),
        ) {
            let mut delta = Delta::default();
            for (round, writes) in rounds.into_iter().enumerate() {
                let writes = writes.into_iter().map(|(key, value)| (vec![key], value.map(|one| vec![one])));
                delta.push(Space(u16::from(round % 2 == 0)), Writes(writes.collect()));
            }
            let mut kept = delta.clone();
            kept.keep_last();
            prop_assert_eq!(content(&kept), content(&delta));
            prop_assert_eq!(kept.len(), content(&delta).len());
        }

        #[test]
        fn a_delta_is_read_back(delta in delta()) {
            let mut bytes = Vec::new();
            delta.encode(&mut bytes).unwrap();
            prop_assert_eq!(Delta::decode(&bytes), Some(delta));
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(delta) = Delta::decode(&bytes) {
                let mut again = Vec::new();
                delta.encode(&mut again).unwrap();
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
