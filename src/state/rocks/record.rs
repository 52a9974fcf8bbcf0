//! Marks and pending commits as bytes, with a version in front and a CRC-32C behind.
//!
//! Numbers are little-endian. A pending commit has the names of its spaces, so that it finds them again
//! under another declaration.

use crate::error::{Error, Result};
use crate::state::{Delta, Mark, Pending, Space};

const VERSION: u8 = 1;
const MARK_BYTES: usize = 32;

/// What a damaged record says of itself.
pub(super) const NOT_AS_WRITTEN: &str = "its checksum does not match";

pub(super) fn encode_mark(mark: &Mark) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_mark(mark, &mut out);
    seal(out)
}

/// # Errors
///
/// What is wrong with it.
pub(super) fn decode_mark(bytes: &[u8]) -> Result<Mark, &'static str> {
    let mut content = open(bytes)?;
    let mark = take_mark(&mut content).filter(|_| content.is_empty());
    mark.ok_or(NOT_AS_WRITTEN)
}

/// `name` gives the name of a space.
///
/// # Errors
///
/// [`Error::Encode`] if it is too large.
pub(super) fn encode_pending<'a>(
    pending: &Pending,
    name: impl Fn(Space) -> Result<&'a str>,
) -> Result<Vec<u8>> {
    let mut out = vec![VERSION];
    out.extend(pending.from.to_le_bytes());
    put_mark(&pending.mark, &mut out);
    let too_many = |_| Error::Encode("a commit writes to more than 65,535 tables".into());
    out.extend(u16::try_from(pending.delta.0.len()).map_err(too_many)?.to_le_bytes());
    let mut delta = Delta::default();
    for (at, (space, writes)) in (0..).zip(&pending.delta.0) {
        let name = name(*space)?.as_bytes();
        out.extend((name.len() as u16).to_le_bytes());
        out.extend(name);
        delta.0.push((Space(at), writes.clone()));
    }
    delta.encode(&mut out)?;
    Ok(seal(out))
}

/// `space` finds a space by its name.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn decode_pending(
    bytes: &[u8],
    space: impl Fn(&str) -> Option<Space>,
) -> Result<Pending, &'static str> {
    let mut content = open(bytes)?;
    let (pending, names) = take_pending(&mut content).ok_or(NOT_AS_WRITTEN)?;
    let Pending { from, mark, delta } = pending;
    let known = |(at, writes): (Space, _)| Some((space(names.get(usize::from(at.0))?)?, writes));
    let delta: Option<_> = delta.0.into_iter().map(known).collect();
    let delta = Delta(delta.ok_or("it writes to a table that is not declared any more")?);
    Ok(Pending { from, mark, delta })
}

/// Where a pending commit begins, and the mark it would leave; its changes are not looked at.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn decode_undecided(bytes: &[u8]) -> Result<(i64, Mark), &'static str> {
    let mut content = open(bytes)?;
    let (pending, _) = take_pending(&mut content).ok_or(NOT_AS_WRITTEN)?;
    Ok((pending.from, pending.mark))
}

fn take_pending(content: &mut &[u8]) -> Option<(Pending, Vec<String>)> {
    let from = i64::from_le_bytes(content.split_off(..8)?.try_into().ok()?);
    let mark = take_mark(content)?;
    let count = short(content)?;
    let name = |content: &mut &[u8]| {
        let length = short(content)?;
        String::from_utf8(content.split_off(..usize::from(length))?.to_vec()).ok()
    };
    let names = (0..count).map(|_| name(content)).collect::<Option<_>>()?;
    Some((Pending { from, mark, delta: Delta::decode(content)? }, names))
}

fn put_mark(mark: &Mark, out: &mut Vec<u8>) {
    for number in [mark.next.cast_unsigned(), mark.token, mark.hash, mark.log.cast_unsigned()] {
        out.extend(number.to_le_bytes());
    }
}

fn take_mark(content: &mut &[u8]) -> Option<Mark> {
    let bytes = content.split_off(..MARK_BYTES)?;
    let (numbers, _) = bytes.as_chunks::<8>();
    let [next, token, hash, log] = *numbers else { return None };
    Some(Mark {
        next: i64::from_le_bytes(next),
        token: u64::from_le_bytes(token),
        hash: u64::from_le_bytes(hash),
        log: i64::from_le_bytes(log),
    })
}

fn short(content: &mut &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes(content.split_off(..2)?.try_into().ok()?))
}

fn seal(mut content: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&content);
    content.extend(checksum.to_le_bytes());
    content
}

/// What is between version and checksum.
fn open(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let (content, checksum) = bytes.split_last_chunk::<4>().ok_or(NOT_AS_WRITTEN)?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
        return Err(NOT_AS_WRITTEN);
    }
    match content.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        _ => Err("a newer version has written it: use that one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Writes;
    use proptest::prelude::*;

    const NAMES: [&str; 2] = ["state", "windows"];

    fn pending() -> impl Strategy<Value = Pending> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..10);
        let writes = prop::collection::vec((bytes(), prop::option::of(bytes())), 0..4);
        let one = (0..2_u16).prop_map(Space);
        let delta = prop::collection::vec((one, writes.prop_map(Writes)), 0..3);
        (any::<[i64; 3]>(), any::<[u64; 2]>(), delta).prop_map(
            |([from, next, log], [token, hash], delta)| {
                let mark = Mark { next, token, hash, log };
                Pending { from, mark, delta: Delta(delta) }
            },
        )
    }

    fn encoded(pending: &Pending) -> Vec<u8> {
        encode_pending(pending, |space| Ok(NAMES[usize::from(space.0)])).unwrap()
    }

    fn found(name: &str) -> Option<Space> {
        NAMES.iter().position(|known| *known == name).map(|at| Space(at as u16))
    }

    proptest! {
        #[test]
        fn a_pending_commit_is_read_back_and_a_part_of_it_is_not(
            pending in pending(), cut: prop::sample::Index, bit: prop::sample::Index,
        ) {
            let mut bytes = encoded(&pending);
            prop_assert_eq!(decode_pending(&bytes, found), Ok(pending));
            prop_assert!(decode_pending(&bytes[..cut.index(bytes.len())], found).is_err());
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_pending(&bytes, found).is_err());
        }

        #[test]
        fn a_mark_is_read_back_and_a_wrong_bit_is_seen(pending in pending(), bit: prop::sample::Index) {
            let mut bytes = encode_mark(&pending.mark);
            prop_assert_eq!(decode_mark(&bytes), Ok(pending.mark));
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_mark(&bytes).is_err());
        }
    }

    #[test]
    fn a_space_is_found_by_its_name() {
        let writes = Writes(vec![(b"k".to_vec(), None)]);
        let mark = Mark { next: 2, token: 3, hash: 4, log: 5 };
        let pending = Pending { from: 1, mark, delta: Delta(vec![(Space(0), writes.clone())]) };
        let moved = decode_pending(&encoded(&pending), |name| Some(Space(name.len() as u16)));
        assert_eq!(moved.unwrap().delta, Delta(vec![(Space(5), writes)]));
        assert!(decode_pending(&encoded(&pending), |_| None).unwrap_err().contains("not declared"));
    }
}
