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

    fn delta() -> impl Strategy<Value = Delta> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        let writes = prop::collection::vec((bytes(), prop::option::of(bytes())), 0..6);
        let space = (any::<u16>().prop_map(Space), writes.prop_map(Writes));
        prop::collection::vec(space, 0..4).prop_map(Delta)
    }

    proptest! {
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
