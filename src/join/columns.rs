//! Columns of both sides and of what comes out.

use super::{
    rows::{Codec, Encoded},
    spec::{JoinSpec, Side, Sides},
};
use crate::{
    error::Result,
    window::{
        keys::{KeyRows, Keys},
        time::{EVENT_TIME, WATERMARK},
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch},
    buffer::NullBuffer,
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef},
};
use std::sync::Arc;

/// Name of the column that says that a row removes its key from a table.
pub(super) const DELETED: &str = "_deleted";
/// Columns that are about rows and not of them.
const OWN: [&str; 3] = [EVENT_TIME, WATERMARK, DELETED];

/// Columns of one side.
pub(super) struct SideColumns {
    on: Vec<FieldRef>,
    /// What is not key.
    pub(super) rest: Vec<FieldRef>,
    /// How rows of `rest` are kept.
    pub(super) codec: Codec,
}

/// Columns of both sides.
pub(super) struct Columns {
    /// Left and right.
    pub(super) sides: [SideColumns; 2],
    /// Key, columns of the left, columns of the right, event time.
    pub(super) output: SchemaRef,
}

/// A batch of one side, ready to be walked through.
pub(super) struct Feed {
    /// Whose it is.
    pub(super) side: Side,
    /// Keys of the rows.
    pub(super) keys: KeyRows,
    nulls: Option<NullBuffer>,
    /// Columns that are not key.
    pub(super) rest: Vec<ArrayRef>,
    /// Their rows.
    pub(super) rows: Encoded,
    times: Option<Int64Array>,
    watermarks: Option<Int64Array>,
}

impl Feed {
    /// Event time of `row`, in ms.
    #[inline]
    pub(super) fn time(&self, row: usize) -> Option<i64> {
        self.times.as_ref().filter(|times| times.is_valid(row)).map(|times| times.value(row))
    }

    /// The watermark of its side in front of `row`, where the batch says it.
    #[inline]
    pub(super) fn watermark(&self, row: usize) -> Option<i64> {
        self.watermarks.as_ref().map(|watermarks| watermarks.value(row))
    }

    /// Does the key of `row` have a null?
    #[inline]
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

/// A batch as each of the sides sees it that have rows in it.
pub(super) struct Feeds<'a> {
    sides: Sides<'a>,
    feeds: [Option<Feed>; 2],
}

impl Feeds<'_> {
    /// What the side of `row` sees.
    #[inline]
    pub(super) fn of(&self, row: usize) -> Option<&Feed> {
        self.at(self.sides.of(row))
    }

    /// What `side` sees.
    #[inline]
    pub(super) fn at(&self, side: Side) -> Option<&Feed> {
        self.feeds[side.at()].as_ref()
    }

    /// Has the batch one line of time for both sides?
    #[inline]
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.sides, Sides::Each(_))
    }
}

impl Columns {
    /// Those of a declaration for rows of these schemas.
    pub(super) fn new(spec: &JoinSpec, schemas: [&Schema; 2]) -> Result<Self> {
        let left = side(spec, Side::Left, schemas[0])?;
        let right = side(spec, Side::Right, schemas[1])?;
        for (one, other) in left.on.iter().zip(&right.on) {
            if one.data_type() != other.data_type() {
                return Err(spec.wrong(&format!(
                    "{:?} of the left is {}, {:?} of the right is {}; cast one of them",
                    one.name(),
                    one.data_type(),
                    other.name(),
                    other.data_type()
                )));
            }
        }
        let output = output(spec, &left, &right)?;
        Ok(Self { sides: [left, right], output })
    }

    /// Groups by the key columns.
    pub(super) fn groups(&self) -> Result<Keys> {
        let types: Vec<_> = self.sides[0].on.iter().map(|one| one.data_type().clone()).collect();
        Keys::new(&types)
    }

    /// Columns of a batch, for the sides that have rows in it.
    pub(super) fn feeds<'a>(
        &self,
        spec: &JoinSpec,
        sides: Sides<'a>,
        batch: &RecordBatch,
        keys: &Keys,
    ) -> Result<Feeds<'a>> {
        if let Sides::Each(right) = sides
            && right.len() != batch.num_rows()
        {
            return Err(spec.wrong("is_right has not as many values as the batch has rows"));
        }
        let feed =
            |side: Side| sides.has(side).then(|| self.feed(spec, side, batch, keys)).transpose();
        Ok(Feeds { sides, feeds: [feed(Side::Left)?, feed(Side::Right)?] })
    }

    /// Columns of a batch of `side`. Its columns are found by name.
    fn feed(&self, spec: &JoinSpec, side: Side, batch: &RecordBatch, keys: &Keys) -> Result<Feed> {
        let own = &self.sides[side.at()];
        let find = |field: &FieldRef| column(spec, side, batch, field);
        let on = own.on.iter().map(find).collect::<Result<Vec<_>>>()?;
        let rest = own.rest.iter().map(find).collect::<Result<Vec<_>>>()?;
        Ok(Feed {
            side,
            keys: keys.prepare(&on, batch.num_rows())?,
            nulls: on.iter().fold(None, |nulls, column| {
                NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
            }),
            rows: own.codec.encode(&rest)?,
            rest,
            times: numbers(batch, EVENT_TIME),
            watermarks: numbers(batch, WATERMARK),
        })
    }
}

fn numbers(batch: &RecordBatch, name: &str) -> Option<Int64Array> {
    batch.column_by_name(name)?.as_primitive_opt::<Int64Type>().cloned()
}

/// What values of a dictionary are; other types are what they are.
fn plain(kind: &DataType) -> DataType {
    match kind {
        DataType::Dictionary(_, values) => plain(values),
        other => other.clone(),
    }
}

fn word(side: Side) -> &'static str {
    ["left", "right"][side.at()]
}

fn column(spec: &JoinSpec, side: Side, batch: &RecordBatch, field: &FieldRef) -> Result<ArrayRef> {
    let found = batch.column_by_name(field.name()).ok_or_else(|| {
        spec.wrong(&format!("rows of the {} have no column {:?}", word(side), field.name()))
    })?;
    if found.data_type() == field.data_type() {
        return Ok(Arc::clone(found));
    }
    if plain(found.data_type()) != *field.data_type() {
        return Err(spec.wrong(&format!(
            "column {:?} of the {} is {}, and was declared as {}",
            field.name(),
            word(side),
            found.data_type(),
            field.data_type()
        )));
    }
    cast(found, field.data_type()).map_err(|err| spec.wrong(&err.to_string()))
}

fn side(spec: &JoinSpec, side: Side, schema: &Schema) -> Result<SideColumns> {
    let names = [&spec.left_on, &spec.right_on][side.at()];
    let as_plain = |field: &Field| -> FieldRef {
        Arc::new(Field::new(field.name(), plain(field.data_type()), field.is_nullable()))
    };
    let find = |name: &String| {
        let known: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        schema.field_with_name(name).map(as_plain).map_err(|_| {
            spec.wrong(&format!(
                "rows of the {} have no column {name:?}; they have {}",
                word(side),
                known.join(", ")
            ))
        })
    };
    let on = names.iter().map(find).collect::<Result<Vec<_>>>()?;
    let is_rest =
        |field: &&FieldRef| !names.contains(field.name()) && !OWN.contains(&field.name().as_str());
    let rest: Vec<_> = schema.fields().iter().filter(is_rest).map(|one| as_plain(one)).collect();
    let codec = Codec::new(&rest).map_err(|err| spec.wrong(&err.to_string()))?;
    Ok(SideColumns { on, rest, codec })
}

/// The schema of what comes out; columns of a side that may be missing are nullable.
fn output(spec: &JoinSpec, left: &SideColumns, right: &SideColumns) -> Result<SchemaRef> {
    let mut fields: Vec<Field> =
        left.on.iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let may_lack = |side: Side| spec.how.pads(side.other());
    let left_fields = left.rest.iter().map(|field| {
        let nullable = field.is_nullable() || may_lack(Side::Left);
        field.as_ref().clone().with_nullable(nullable)
    });
    fields.extend(left_fields);
    for field in &right.rest {
        let is_taken = fields.iter().any(|known| known.name() == field.name());
        let suffix = if is_taken { spec.suffix.as_str() } else { "" };
        let nullable = field.is_nullable() || may_lack(Side::Right);
        let name = format!("{}{suffix}", field.name());
        if fields.iter().any(|known| *known.name() == name) {
            return Err(spec.wrong(&format!("two columns would be called {name:?}; say suffix=")));
        }
        fields.push(field.as_ref().clone().with_name(name).with_nullable(nullable));
    }
    fields.push(Field::new(EVENT_TIME, DataType::Int64, true));
    Ok(Arc::new(Schema::new(fields)))
}
