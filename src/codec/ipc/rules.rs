//! The rules of a schema for columns that are columns already: names, defaults, and what values are
//! allowed.

use crate::{
    codec::column::{
        Cells, Column, DEFAULT, Fault, Node, NodeCells, Object, Scanned, Step, Unknown, Value,
        time::ns_per,
    },
    codec::json::Scan,
    error::Result,
};
use arrow::{
    array::{Array, ArrayRef, new_null_array},
    datatypes::{DataType, Field, FieldRef},
};

/// What a field asks of its column.
pub(super) struct Rule {
    /// The field.
    pub field: FieldRef,
    /// Names under which its column stands in records.
    pub names: Vec<String>,
    /// Must its values be looked at one by one?
    is_picky: bool,
    /// Must the column be there?
    is_required: bool,
}

impl Rule {
    /// The rule of `field`.
    pub(super) fn new(field: &FieldRef) -> Result<Self> {
        let column = Column::new(field, false)?;
        Ok(Self {
            is_picky: is_picky(field),
            is_required: column.required || !column.accepts_null,
            names: column.names,
            field: field.clone(),
        })
    }

    /// The column of a record that has none, with `rows` rows.
    pub(super) fn absent(&self, rows: usize) -> Result<ArrayRef, String> {
        if self.field.metadata().contains_key(DEFAULT) {
            let mut column = Column::new(&self.field, false).map_err(|e| e.to_string())?;
            let mut scratch = Vec::new();
            for _ in 0..rows {
                column.read_default(&mut scratch, 0).map_err(|fault| fault.what)?;
            }
            return Ok(column.finish());
        }
        if self.is_required {
            return Err("missing".into());
        }
        Ok(new_null_array(self.field.data_type(), rows))
    }

    /// `column` by the rules, value by value; none if there are none to look at.
    pub(super) fn apply(&self, column: &ArrayRef) -> Option<Result<ArrayRef, String>> {
        self.is_picky.then(|| rebuild(&self.field, column))
    }
}

/// Does the field, or one inside it, allow less than its type?
fn is_picky(field: &Field) -> bool {
    if !field.metadata().is_empty() {
        return true;
    }
    match field.data_type() {
        DataType::Struct(fields) => fields.iter().any(|f| is_picky(f)),
        DataType::List(item) | DataType::Map(item, _) => is_picky(item),
        _ => false,
    }
}

fn rebuild(field: &FieldRef, array: &ArrayRef) -> Result<ArrayRef, String> {
    let label = |_: usize, name: &str| name.as_bytes().to_vec();
    let written = Field::new(field.name(), array.data_type().clone(), true);
    let node = Node::new(&written, array, label)?;
    let mut column = Column::new(field, false).map_err(|e| e.to_string())?;
    for row in 0..array.len() {
        copy(&mut column, &node, row).map_err(|fault| fault.message_without_place())?;
    }
    Ok(column.finish())
}

/// Appends row `row` of `node` to `column`.
fn copy(column: &mut Column, node: &Node, row: usize) -> Scanned<()> {
    if !node.is_null(row) {
        let next = column.len;
        match (&mut column.cells, &node.cells) {
            (Cells::List { item, .. }, NodeCells::List(list)) => {
                let offsets = list.0.value_offsets();
                for (i, from) in (offsets[row]..offsets[row + 1]).enumerate() {
                    copy(item, &list.1, from as usize)
                        .map_err(|fault| fault.within(Step::Item(i)))?;
                }
                return column.close_list().map_err(|what| Fault::new(0, what));
            }
            (Cells::Map { keys, value, .. }, NodeCells::Map(map)) => {
                let offsets = map.0.value_offsets();
                for from in offsets[row] as usize..offsets[row + 1] as usize {
                    let name = map.1.value(from);
                    keys.push(name.as_bytes());
                    copy(value, &map.2, from).map_err(|fault| fault.within_field(name))?;
                }
                return column.close_map().map_err(|what| Fault::new(0, what));
            }
            (Cells::Struct(object), NodeCells::Struct(fields)) => {
                copy_fields(object, fields, row, next)?;
                column.pushed();
                return Ok(());
            }
            // JSON is text here too: it is checked, and stays what it is.
            (Cells::Text { raw: true, .. }, NodeCells::Text(values)) => {
                let mut scan = Scan::new(values.value(row).as_bytes());
                column.read(&mut scan, &mut Vec::new(), 1)?;
                return scan.finish_value();
            }
            (_, NodeCells::List(_) | NodeCells::Struct(_) | NodeCells::Map(_)) => {
                let what = format!("expected {}, found values inside a value", column.wanted());
                return Err(Fault::new(0, what));
            }
            _ => {}
        }
    }
    with_value(node, row, |value| column.push(value)).map_err(|what| Fault::new(0, what))
}

fn copy_fields(
    object: &mut Object,
    fields: &[(Vec<u8>, Node)],
    row: usize,
    next: usize,
) -> Scanned<()> {
    for (name, node) in fields {
        let name = String::from_utf8_lossy(name);
        match object.index.get(name.as_bytes()).copied() {
            Some(i) => copy(&mut object.columns[i], node, row)
                .map_err(|fault| fault.within_field(&name))?,
            None if object.unknown == Unknown::Skip => {}
            None => return Err(Fault::new(0, format!("`{name}` is not a field of the schema"))),
        }
    }
    for i in 0..object.columns.len() {
        if object.columns[i].len == next {
            object.fill(i, 0, &mut Vec::new(), 0)?;
        }
    }
    Ok(())
}

/// Calls `take` with the value of row `row`, which is none of those with values inside.
fn with_value<T>(node: &Node, row: usize, take: impl FnOnce(Value<'_>) -> T) -> T {
    if node.is_null(row) {
        return take(Value::Null);
    }
    match &node.cells {
        NodeCells::Bool(values) => take(Value::Bool(values.value(row))),
        NodeCells::Int(values) => take(Value::Int(values.value(row))),
        NodeCells::UInt(values) => take(Value::UInt(values.value(row))),
        NodeCells::Float(values) => take(Value::Float(values.value(row))),
        NodeCells::Float32(values) => take(Value::Float(values.value(row).into())),
        NodeCells::Text(values) | NodeCells::Raw(values) => take(Value::Text(values.value(row))),
        NodeCells::LargeText(values) => take(Value::Text(values.value(row))),
        NodeCells::TextView(values) => take(Value::Text(values.value(row))),
        NodeCells::Binary(values) => take(Value::Bytes(values.value(row))),
        NodeCells::Decimal(values) => take(Value::Text(&values.value_as_string(row))),
        NodeCells::Date(days) => take(Value::Instant(days.value(row) * 86_400, 0)),
        NodeCells::Timestamp(values, unit, _) => {
            let (value, per) = (values.value(row), ns_per(*unit));
            let each = 1_000_000_000 / per;
            let ns = u32::try_from(value.rem_euclid(each) * per).unwrap_or(0);
            take(Value::Instant(value.div_euclid(each), ns))
        }
        NodeCells::Duration(values, unit) => {
            let (value, per) = (values.value(row), ns_per(*unit));
            let each = 1_000_000_000 / per;
            let ns = i32::try_from(value % each * per).unwrap_or(0);
            take(Value::Length(value / each, ns))
        }
        NodeCells::Time(ns) => {
            let mut text = Vec::new();
            crate::codec::column::time::write_time(&mut text, ns.value(row));
            take(Value::Text(&String::from_utf8_lossy(&text)))
        }
        NodeCells::Null | NodeCells::List(_) | NodeCells::Struct(_) | NodeCells::Map(_) => {
            take(Value::Null)
        }
    }
}
