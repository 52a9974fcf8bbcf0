//! A window in the store: what it writes there, and the way back.
//!
//! ```text
//! "w" version name 0 | 0             declaration and types of the columns
//!                    | 1             watermark, slots opened
//!                    | 2 tag key     when opened, what the kind needs, content
//! ```
//!
//! Equal contents give equal bytes. Numbers are big-endian; a tag sorts as it counts.

use super::{
    Operator,
    columns::{as_schema, from_schema},
    core::{Core, Entry, Kept, Kind},
};
use crate::{
    error::{Error, Result},
    state::{Space, Store, Writes},
    window::{aggregate::Slot, spec::WindowSpec},
};
use arrow::ipc::{reader::StreamReader, writer::StreamWriter};

const VERSION: u8 = 1;
const DECLARATION: u8 = 0;
const PROGRESS: u8 = 1;
const SLOT: u8 = 2;
/// Numbers in front of a content: when it was opened, and six of the kind.
const NUMBERS: usize = 7;

pub(super) fn changes(operator: &mut Operator, writes: &mut Writes) -> Result<()> {
    let prefix = prefix(&operator.spec);
    let Some(bound) = &mut operator.bound else { return Ok(()) };
    let Some(mut tracking) = bound.core.tracking.take() else { return Ok(()) };
    if !operator.is_declared {
        let value = declaration(&operator.spec, &as_schema(&bound.types))?;
        writes.0.push((with(&prefix, DECLARATION), Some(value)));
        operator.is_declared = true;
    }
    tracking.take(writes, |slot| slot_entry(&prefix, &bound.core, &*bound.kind, slot));
    let progress = [operator.watermark, bound.core.opened as i64];
    bound.core.tracking = Some(tracking);
    if operator.progress != Some(progress) {
        operator.progress = Some(progress);
        let value = progress.iter().flat_map(|number| number.to_be_bytes()).collect();
        writes.0.push((with(&prefix, PROGRESS), Some(value)));
    }
    Ok(())
}

pub(super) fn restore(operator: &mut Operator, store: &dyn Store) -> Result<()> {
    if !operator.spec.persistent {
        return Ok(());
    }
    let prefix = prefix(&operator.spec);
    let Some(declared) = store.get(Space::WINDOWS, &with(&prefix, DECLARATION))? else {
        return Ok(());
    };
    let mut bound = operator.bind(types(&operator.spec, &declared)?)?;
    let progress = store.get(Space::WINDOWS, &with(&prefix, PROGRESS))?.unwrap_or_default();
    let [watermark, opened] = numbers::<2>(&progress).ok_or_else(|| broken(&operator.spec))?.0;
    let slots = with(&prefix, SLOT);
    let mut kept = Vec::new();
    store.scan(Space::WINDOWS, &slots, &mut |key, value| {
        kept.push(read(&key[slots.len()..], value).ok_or_else(|| broken(&operator.spec))?);
        Ok(())
    })?;
    kept.sort_by_key(|one| one.entry.opened);
    bound.core.opened = opened as u64;
    bound.kind.restore(&mut bound.core, &kept, watermark)?;
    know(&prefix, &mut bound.core, &*bound.kind);
    operator.watermark = watermark;
    operator.progress = Some([watermark, opened]);
    operator.is_declared = true;
    operator.bound = Some(bound);
    Ok(())
}

/// Tells the tracking what the store has.
fn know(prefix: &[u8], core: &mut Core, kind: &dyn Kind) {
    let Some(mut tracking) = core.tracking.take() else { return };
    for slot in 0..core.keys.bound() as Slot {
        if let Some((key, _)) = slot_entry(prefix, core, kind, slot) {
            tracking.know(slot, key);
        }
    }
    tracking.settle();
    core.tracking = Some(tracking);
}

fn prefix(spec: &WindowSpec) -> Vec<u8> {
    let mut prefix = vec![b'w', VERSION];
    prefix.extend_from_slice(spec.name.as_bytes());
    prefix.push(0);
    prefix
}

fn with(prefix: &[u8], last: u8) -> Vec<u8> {
    [prefix, &[last]].concat()
}

fn slot_entry(
    prefix: &[u8],
    core: &Core,
    kind: &dyn Kind,
    slot: Slot,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let (group, entry) = kind.entry(core, slot)?;
    let mut key = with(prefix, SLOT);
    key.extend((entry.tag ^ i64::MIN).to_be_bytes());
    core.keys.save(group, &mut key);
    let mut value = entry.opened.to_be_bytes().to_vec();
    value.extend(entry.extra.iter().flat_map(|number| number.to_be_bytes()));
    core.bank.save(slot, &mut value);
    Some((key, value))
}

fn read(key: &[u8], value: &[u8]) -> Option<Kept> {
    let ([tag], key) = numbers::<1>(key)?;
    let ([opened, extra @ ..], content) = numbers::<NUMBERS>(value)?;
    let entry = Entry { tag: tag ^ i64::MIN, opened: opened as u64, extra };
    Some(Kept { key: key.to_vec(), entry, content: content.to_vec() })
}

/// The first `N` numbers of `bytes`, and what is behind them.
fn numbers<const N: usize>(bytes: &[u8]) -> Option<([i64; N], &[u8])> {
    let (head, rest) = bytes.split_at_checked(8 * N)?;
    let mut found = [0; N];
    for (number, bytes) in found.iter_mut().zip(head.chunks_exact(8)) {
        *number = i64::from_be_bytes(bytes.try_into().ok()?);
    }
    Some((found, rest))
}

/// What must stay the same for contents to keep their meaning.
fn meaning(spec: &WindowSpec) -> Result<Vec<u8>> {
    let meaning = (&spec.kind, &spec.key, &spec.aggregates, &spec.time_column);
    serde_json::to_vec(&meaning)
        .map_err(|err| Error::Declaration(format!("{:?}: {err}", spec.name)))
}

fn declaration(spec: &WindowSpec, schema: &arrow::datatypes::Schema) -> Result<Vec<u8>> {
    let meaning = meaning(spec)?;
    let mut out = (meaning.len() as i64).to_be_bytes().to_vec();
    out.extend(meaning);
    let unwritable = |err| Error::Declaration(format!("window {:?}: {err}", spec.name));
    let mut writer = StreamWriter::try_new(out, schema).map_err(unwritable)?;
    writer.finish().map_err(unwritable)?;
    writer.into_inner().map_err(unwritable)
}

fn types(spec: &WindowSpec, declared: &[u8]) -> Result<super::columns::Types> {
    let ([length], rest) = numbers::<1>(declared).ok_or_else(|| broken(spec))?;
    let length = usize::try_from(length).map_err(|_| broken(spec))?;
    let (kept, schema) = rest.split_at_checked(length).ok_or_else(|| broken(spec))?;
    if kept != meaning(spec)? {
        return Err(Error::Declaration(format!(
            "window {:?} was kept with another kind, key, time column or other aggregates; give the new \
             one a new name, or delete its state",
            spec.name
        )));
    }
    let reader = StreamReader::try_new(schema, None).map_err(|_| broken(spec))?;
    Ok(from_schema(&reader.schema(), spec.aggregates.len()))
}

fn broken(spec: &WindowSpec) -> Error {
    Error::Declaration(format!(
        "window {:?}: the store does not hold what this version writes; delete its state",
        spec.name
    ))
}
