//! Values into columns, as planned.

use super::{
    defaults,
    input::Input,
    plan::{Read, RecordPlan, Step, rescaled},
};
use crate::codec::column::{
    Cells, Column, Fault, Object, Scanned, Step as PathStep, number::int_fits_f64,
};

const TOO_MUCH: &str = "the batch has over 2 GiB in this column; use a smaller batch_size";

impl RecordPlan {
    /// Reads a record into row `row` of `object`; a fault may leave half a row behind.
    pub(super) fn read(
        &self,
        object: &mut Object,
        input: &mut Input<'_>,
        row: usize,
    ) -> Scanned<()> {
        for (name, step) in &self.fields {
            let done = match step {
                Step::Into(at, read) => {
                    let column = &mut object.columns[*at];
                    debug_assert_eq!(column.len, row, "every field has a column of its own");
                    read.value(column, input)
                }
                Step::Skip(of) => input.skip(of),
            };
            if let Err(mut fault) = done {
                fault.path.push(PathStep::Field(name.clone()));
                return Err(fault);
            }
        }
        for &at in &self.missing {
            object.fill(at, input.pos, &mut Vec::new(), 0)?;
        }
        Ok(())
    }
}

impl Read {
    /// Reads the next row of `column`.
    #[inline]
    fn value(&self, column: &mut Column, input: &mut Input<'_>) -> Scanned<()> {
        let at = input.pos;
        let allowed = match (self, &mut column.cells) {
            (Self::Int { is_short }, Cells::Int { values, .. }) => {
                let value = if *is_short { input.int()? } else { input.long()? };
                values.push(value);
                column.check.as_deref().map_or(Ok(()), |check| check.integer(value))
            }
            (Self::Double, Cells::Float { values, .. }) => {
                let value = f64::from_le_bytes(input.array()?);
                values.push(value);
                column.check.as_deref().map_or(Ok(()), |check| check.float(value))
            }
            (Self::Text, Cells::Text { text, .. }) => {
                let value = input.bytes()?;
                let is_text = *column.field.data_type() == arrow::datatypes::DataType::Utf8;
                if is_text && std::str::from_utf8(value).is_err() {
                    return Err(Fault::new(at, "expected text, found bytes that are not UTF-8"));
                }
                if !text.push(value) {
                    return Err(Fault::new(at, TOO_MUCH));
                }
                column.check.as_deref().map_or(Ok(()), |check| check.text(value))
            }
            (Self::Union(branches), _) => {
                return match &branches[input.choice(branches.len(), "branch")?] {
                    Ok(read) => read.value(column, input),
                    Err(why) => Err(Fault::new(at, &**why)),
                };
            }
            (Self::Null, _) => {
                column.push_null();
                return Ok(());
            }
            _ => self.rare(column, input)?,
        };
        if let Err(what) = allowed {
            return Err(Fault::new(at, what));
        }
        column.pushed();
        Ok(())
    }

    #[inline(never)]
    fn rare(&self, column: &mut Column, input: &mut Input<'_>) -> Scanned<Result<(), String>> {
        let at = input.pos;
        let check = column.check.as_deref();
        let row = column.len;
        let allowed = match (self, &mut column.cells) {
            (Self::Bool, Cells::Bool(values)) => {
                values.append(input.bool()?);
                Ok(())
            }
            (Self::List(read), Cells::List { offsets, item }) => {
                let count = input.blocks(|input| {
                    let i = item.len - offsets[row] as usize;
                    read.value(item, input).map_err(|fault| within(fault, PathStep::Item(i)))
                })?;
                offsets.push(end(item.len, at)?);
                check.map_or(Ok(()), |check| check.items(count))
            }
            (Self::Map(read), Cells::Map { offsets, keys, value }) => {
                input.blocks(|input| {
                    let key = input.bytes()?;
                    let Ok(name) = std::str::from_utf8(key) else {
                        return Err(input.fault("a name that is not UTF-8"));
                    };
                    if !keys.push(key) {
                        return Err(input.fault(TOO_MUCH));
                    }
                    read.value(value, input)
                        .map_err(|fault| within(fault, PathStep::Field(name.into())))
                })?;
                offsets.push(end(value.len, at)?);
                Ok(())
            }
            (Self::Record(plan), Cells::Struct(object)) => {
                plan.read(object, input, row)?;
                Ok(())
            }
            (Self::Int { .. } | Self::Float, cells) => self.number(cells, check, input)?,
            (Self::Fixed(_) | Self::Uuid | Self::Enum(_), Cells::Text { text, .. }) => {
                let value = self.text(input)?;
                if !text.push(&value) {
                    return Err(Fault::new(at, TOO_MUCH));
                }
                check.map_or(Ok(()), |check| check.text(&value))
            }
            (Self::Moment { is_short, times, over, limit }, Cells::Moment { values, .. }) => {
                let value = if *is_short { input.int()? } else { input.long()? };
                if limit.is_some_and(|limit| !(0..limit).contains(&value)) {
                    return Err(Fault::new(at, format!("expected a time of day, found {value}")));
                }
                let scaled = value.checked_mul(*times).filter(|v| v % over == 0);
                let scaled = scaled.ok_or_else(|| {
                    Fault::new(at, format!("{value} does not fit the unit of the column"))
                })?;
                values.push(scaled / over);
                Ok(())
            }
            (Self::Decimal { size, digits }, Cells::Decimal { values, precision, scale }) => {
                let bytes = match size {
                    Some(size) => input.take(*size)?,
                    None => input.bytes()?,
                };
                let most = 10_i128.pow((*precision).into());
                let value =
                    rescaled(bytes, *digits).filter(|v| v.unsigned_abs() < most.unsigned_abs());
                let value = value.ok_or_else(|| {
                    Fault::new(
                        at,
                        format!("a number that decimal({precision}, {scale}) cannot hold"),
                    )
                })?;
                values.push(value);
                check.map_or(Ok(()), |check| check.decimal(value, *scale))
            }
            _ => unreachable!("planned for the cells of this column"),
        };
        Ok(allowed)
    }

    /// Numbers that are stored as others.
    fn number(
        &self,
        cells: &mut Cells,
        check: Option<&crate::codec::column::Check>,
        input: &mut Input<'_>,
    ) -> Scanned<Result<(), String>> {
        let at = input.pos;
        let checked = |value: f64| check.map_or(Ok(()), |check| check.float(value));
        if matches!(self, Self::Float) {
            let value = f32::from_le_bytes(input.array()?);
            match cells {
                Cells::Float { values, .. } => values.push(value.into()),
                Cells::Float32(values) => values.push(value),
                _ => unreachable!("planned for a float"),
            }
            return Ok(checked(value.into()));
        }
        let value = input.long()?;
        match cells {
            Cells::Float { exact: true, .. } if !int_fits_f64(value.into()) => {
                return Err(Fault::new(at, format!("{value} does not fit a float of 64 bits")));
            }
            Cells::Float { values, .. } => values.push(value as f64),
            Cells::Float32(values) => values.push(value as f32),
            Cells::UInt { values, max } => match u64::try_from(value).ok().filter(|v| v <= max) {
                Some(value) => values.push(value),
                None => return Err(Fault::new(at, format!("{value} is not within 0 and {max}"))),
            },
            _ => unreachable!("planned for a number"),
        }
        Ok(checked(value as f64))
    }

    fn text(&self, input: &mut Input<'_>) -> Scanned<Vec<u8>> {
        let at = input.pos;
        Ok(match self {
            Self::Fixed(size) => input.take(*size)?.to_vec(),
            Self::Enum(symbols) => match &symbols[input.choice(symbols.len(), "symbol")?] {
                Ok(symbol) => symbol.as_bytes().to_vec(),
                Err(why) => return Err(Fault::new(at, &**why)),
            },
            _ => defaults::uuid(input.take(16)?).expect("16 bytes").into_bytes(),
        })
    }
}

fn within(mut fault: Box<Fault>, step: PathStep) -> Box<Fault> {
    fault.path.push(step);
    fault
}

fn end(len: usize, at: usize) -> Scanned<i32> {
    i32::try_from(len).map_err(|_| Fault::new(at, TOO_MUCH))
}
