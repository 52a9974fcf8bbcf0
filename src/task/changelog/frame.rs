//! A commit as bytes: its changes, compressed, in as many chunks as a broker needs to take them.
//!
//! All numbers are little-endian. A chunk: `u32` CRC-32C of what follows, `u8` version, `u64` id of the
//! attempt to write it, `i64` offset that the state was at (-1: it was empty), `i64` offset that it is at afterwards, `u64` token
//! of the commit, `u64` chained hash of the outputs, `u32` number of the chunk, `u32` number of chunks, `u64`
//! length of the content before compression, then its share of the compressed content. The content: `u16`
//! number of spaces; for each `u16` length of its name, the name, `u32` number of writes; for each `u32`
//! length of the key, the key, `u32` length of the value (`u32::MAX`: the key is removed), the value.

use crate::{
    error::{Error, Result},
    state::{Delta, Mark, Space, Writes},
};
use std::sync::Arc;

/// Most bytes of a chunk: less than the 1 MB that a broker takes by default.
pub const MOST_BYTES: usize = 900 << 10;

const VERSION: u8 = 1;
/// In the place of an offset.
const NOTHING: i64 = -1;
const REMOVED: u32 = u32::MAX;
const HEAD: usize = 4 + 1 + 8 + 8 + 8 + 8 + 8 + 4 + 4 + 8;
/// Level 1: the changes are on the way of every commit.
const LEVEL: i32 = 1;

/// A commit as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Offset that the state has to be at; none: it has to be empty.
    pub from: Option<i64>,
    /// What the state has seen afterwards; its place in the log is not known here.
    pub mark: Mark,
    /// The changes.
    pub delta: Delta,
}

/// What every chunk of a commit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: u64,
    pub(super) from: Option<i64>,
    pub(super) mark: Mark,
    pub(super) count: u32,
    pub(super) length: u64,
}

/// One chunk of a commit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub(super) head: Head,
    pub(super) index: u32,
    pub(super) bytes: &'a [u8],
}

/// The chunks of a commit.
pub(super) fn encode(
    delta: &Delta,
    names: &[Arc<str>],
    from: Option<i64>,
    mark: &Mark,
) -> Result<Vec<Vec<u8>>> {
    let content = content(delta, names)?;
    let packed = zstd::bulk::compress(&content, LEVEL)
        .map_err(|e| Error::Encode(format!("a commit of the state: {e}")))?;
    let share = MOST_BYTES - HEAD;
    let count = length32(packed.len().div_ceil(share))?;
    let id = uuid::Uuid::new_v4().as_u64_pair().0;
    let head = Head { id, from, mark: *mark, count, length: content.len() as u64 };
    Ok(packed.chunks(share).zip(0..).map(|(bytes, index)| chunk(&head, index, bytes)).collect())
}

fn chunk(head: &Head, index: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + bytes.len());
    out.extend_from_slice(&[0; 4]);
    out.push(VERSION);
    out.extend_from_slice(&head.id.to_le_bytes());
    out.extend_from_slice(&head.from.unwrap_or(NOTHING).to_le_bytes());
    out.extend_from_slice(&head.mark.next.to_le_bytes());
    out.extend_from_slice(&head.mark.token.to_le_bytes());
    out.extend_from_slice(&head.mark.hash.to_le_bytes());
    out.extend_from_slice(&index.to_le_bytes());
    out.extend_from_slice(&head.count.to_le_bytes());
    out.extend_from_slice(&head.length.to_le_bytes());
    out.extend_from_slice(bytes);
    let checksum = crc32c::crc32c(&out[4..]);
    out[..4].copy_from_slice(&checksum.to_le_bytes());
    out
}

fn content(delta: &Delta, names: &[Arc<str>]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let spaces = u16::try_from(delta.0.len()).map_err(|_| too_large())?;
    out.extend_from_slice(&spaces.to_le_bytes());
    for (space, writes) in &delta.0 {
        let name = names.get(usize::from(space.0)).ok_or_else(|| {
            Error::Encode(format!(
                "a commit of the state has the space {}, which has no name",
                space.0
            ))
        })?;
        out.extend_from_slice(&u16::try_from(name.len()).map_err(|_| too_large())?.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&length32(writes.0.len())?.to_le_bytes());
        for (key, value) in &writes.0 {
            put(key, &mut out)?;
            match value {
                Some(value) => put(value, &mut out)?,
                None => out.extend_from_slice(&REMOVED.to_le_bytes()),
            }
        }
    }
    Ok(out)
}

fn put(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(&length32(bytes.len())?.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn length32(length: usize) -> Result<u32> {
    u32::try_from(length).ok().filter(|&length| length != REMOVED).ok_or_else(too_large)
}

fn too_large() -> Error {
    Error::Encode("a commit of the state has 4 GiB or more: take smaller batches".into())
}

/// Reads a chunk; none if it is not what [`encode`] writes.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Chunk<'_>> {
    let bytes = &mut bytes;
    let checksum = u32::from_le_bytes(take(bytes)?);
    if crc32c::crc32c(bytes) != checksum || take::<1>(bytes)? != [VERSION] {
        return None;
    }
    let id = u64::from_le_bytes(take(bytes)?);
    let from = Some(i64::from_le_bytes(take(bytes)?)).filter(|&from| from != NOTHING);
    let next = i64::from_le_bytes(take(bytes)?);
    let token = u64::from_le_bytes(take(bytes)?);
    let hash = u64::from_le_bytes(take(bytes)?);
    let index = u32::from_le_bytes(take(bytes)?);
    let count = u32::from_le_bytes(take(bytes)?);
    let length = u64::from_le_bytes(take(bytes)?);
    let mark = Mark { next, token, hash, log: -1 };
    let head = Head { id, from, mark, count, length };
    (index < count).then_some(Chunk { head, index, bytes })
}

/// Reads the content that all chunks of a commit have together.
pub(super) fn unpack(head: &Head, packed: &[u8], names: &[Arc<str>]) -> Option<Change> {
    let length = usize::try_from(head.length).ok()?;
    // The length is believed only as far as the bytes bear it out.
    let mut content = Vec::with_capacity(length.min(packed.len().saturating_mul(64)));
    let decoder = zstd::stream::read::Decoder::new(packed).ok()?;
    std::io::Read::read_to_end(&mut std::io::Read::take(decoder, head.length + 1), &mut content)
        .ok()?;
    if content.len() != length {
        return None;
    }
    Some(Change { from: head.from, mark: head.mark, delta: read_content(&content, names)? })
}

/// A space that is not known any more is left out.
fn read_content(mut bytes: &[u8], names: &[Arc<str>]) -> Option<Delta> {
    let bytes = &mut bytes;
    let mut delta = Delta::default();
    for _ in 0..u16::from_le_bytes(take(bytes)?) {
        let length = u16::from_le_bytes(take(bytes)?);
        let name = bytes.split_off(..usize::from(length))?;
        let space = names.iter().position(|known| known.as_bytes() == name);
        let mut writes = Writes::default();
        for _ in 0..u32::from_le_bytes(take(bytes)?) {
            let key = part(bytes)??;
            writes.0.push((key, part(bytes)?));
        }
        if let Some(space) = space.and_then(|space| u16::try_from(space).ok()) {
            delta.push(Space(space), writes);
        }
    }
    bytes.is_empty().then_some(delta)
}

fn part(bytes: &mut &[u8]) -> Option<Option<Vec<u8>>> {
    match u32::from_le_bytes(take(bytes)?) {
        REMOVED => Some(None),
        length => Some(Some(bytes.split_off(..usize::try_from(length).ok()?)?.to_vec())),
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    bytes.split_off(..N)?.try_into().ok()
}
