//! Which field of a message fills which column, found out once.

use super::schema::{WellKnown, is_required, well_known};
use crate::{
    codec::column::{Cells, Column, Object, Unknown},
    error::{Error, Result},
};
use ahash::AHashMap;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// Numbers of fields that are looked up in a table instead of a map.
const FEW_NUMBERS: usize = 128;
/// No slot, in that table.
const NONE: u16 = u16::MAX;

/// How messages fill the columns of an object.
pub(super) struct Plan {
    /// Fields that matter.
    pub slots: Vec<Slot>,
    /// Do other fields make a record bad?
    pub is_strict: bool,
    /// Columns that no field fills.
    pub unfilled: Vec<usize>,
    low: Vec<u16>,
    high: AHashMap<u32, u16>,
}

/// One field.
pub(super) struct Slot {
    /// Name, for messages.
    pub name: Box<str>,
    /// Number.
    pub number: u32,
    /// Its column; none for a member of a oneof that only counts as the end of another.
    pub column: Option<usize>,
    /// One value, or many.
    pub shape: Shape,
    /// What a value is.
    pub kind: Filling,
    /// Can a record lack the field?
    pub has_presence: bool,
    /// Must no record lack it?
    pub is_required: bool,
    /// The other members of its oneof.
    pub rivals: Vec<usize>,
}

/// One value, or many.
pub(super) enum Shape {
    /// One; the last counts.
    One,
    /// A list.
    List,
    /// Entries of a key and a value.
    Map(Scalar),
}

/// What fills a cell.
pub(super) enum Filling {
    /// A value without fields.
    Scalar(Scalar),
    /// A message that becomes a struct.
    Message(Box<Plan>),
    /// Seconds and nanoseconds, as an instant or a length.
    Moment { is_instant: bool },
    /// A message around one value.
    Wrapper(Scalar),
}

/// A value without fields.
#[derive(Clone)]
pub(super) enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    UInt32,
    UInt64,
    SInt32,
    SInt64,
    Fixed32,
    Fixed64,
    SFixed32,
    SFixed64,
    Bool,
    Text,
    Bytes,
    /// Names by number; empty if the column wants numbers.
    Enum(AHashMap<i32, Box<str>>),
}

impl Plan {
    /// How `message` fills the columns of `object`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a column that no record could fill.
    pub(super) fn new(message: &MessageDescriptor, object: &Object) -> Result<Self> {
        let mut plan = Self {
            slots: Vec::new(),
            is_strict: object.unknown == Unknown::Refuse,
            unfilled: Vec::new(),
            low: Vec::new(),
            high: AHashMap::new(),
        };
        for field in message.fields() {
            let names = [field.name(), field.json_name()];
            let column = names.iter().find_map(|n| object.index.get(n.as_bytes()).copied());
            let contends = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
            if column.is_some() || contends || plan.is_strict {
                let cells = column.map(|i| &object.columns[i]);
                plan.slots.push(Slot::new(&field, column, cells)?);
            }
        }
        plan.find_rivals(message);
        plan.index()?;
        let filled = |i: usize| plan.slots.iter().any(|slot| slot.column == Some(i));
        plan.unfilled = (0..object.columns.len()).filter(|&i| !filled(i)).collect();
        for &i in &plan.unfilled {
            let column = &object.columns[i];
            if column.default.is_none() && (column.required || !column.accepts_null) {
                return Err(Error::Config(format!(
                    "field `{}` is not a field of the message {}: rename it, or give it a default",
                    column.names[0],
                    message.full_name()
                )));
            }
        }
        Ok(plan)
    }

    fn find_rivals(&mut self, message: &MessageDescriptor) {
        for oneof in message.oneofs() {
            let is_member = |slot: &Slot| oneof.fields().any(|f| f.number() == slot.number);
            let members: Vec<usize> =
                (0..self.slots.len()).filter(|&i| is_member(&self.slots[i])).collect();
            for &i in &members {
                self.slots[i].rivals = members.iter().copied().filter(|&j| j != i).collect();
            }
        }
    }

    fn index(&mut self) -> Result<()> {
        self.low = vec![NONE; FEW_NUMBERS];
        for (i, slot) in self.slots.iter().enumerate() {
            let place = u16::try_from(i).ok().filter(|&i| i != NONE).ok_or_else(|| {
                Error::Config("a message of more than 65,535 fields is too large".into())
            })?;
            match self.low.get_mut(slot.number as usize) {
                Some(low) => *low = place,
                None => drop(self.high.insert(slot.number, place)),
            }
        }
        Ok(())
    }

    /// The slot of field `number`.
    #[inline]
    pub(super) fn find(&self, number: u32) -> Option<usize> {
        let place = match self.low.get(number as usize) {
            Some(&place) => place,
            None => self.high.get(&number).copied().unwrap_or(NONE),
        };
        (place != NONE).then_some(place.into())
    }
}

impl Slot {
    fn new(field: &FieldDescriptor, place: Option<usize>, column: Option<&Column>) -> Result<Self> {
        let wrong = |wanted: &str| {
            let found = column.map(|c| c.field.data_type().to_string()).unwrap_or_default();
            Error::Config(format!(
                "field `{}` is {wanted} in the message {}, and {found} in the model: change the \
                 model",
                field.name(),
                field.parent_message().full_name()
            ))
        };
        let mut kind = field.kind();
        let mut inner = column;
        let mut shape = Shape::One;
        if let Kind::Message(entry) = field.kind()
            && field.is_map()
        {
            shape = Shape::Map(Scalar::of(&entry.map_entry_key_field(), None));
            kind = entry.map_entry_value_field().kind();
            inner = match column.map(|c| &c.cells) {
                Some(Cells::Map { value, .. }) => Some(value),
                Some(_) => return Err(wrong("a map")),
                None => None,
            };
        } else if field.is_list() {
            shape = Shape::List;
            inner = match column.map(|c| &c.cells) {
                Some(Cells::List { item, .. }) => Some(item),
                Some(_) => return Err(wrong("repeated")),
                None => None,
            };
        } else if matches!(column.map(|c| &c.cells), Some(Cells::List { .. } | Cells::Map { .. })) {
            return Err(wrong("one value"));
        }
        let kind = Filling::new(field, &kind, inner).map_err(|e| match e {
            Some(error) => error,
            None => wrong("a message"),
        })?;
        Ok(Self {
            name: field.name().into(),
            number: field.number(),
            column: place,
            shape,
            kind,
            has_presence: field.supports_presence(),
            is_required: is_required(field),
            rivals: Vec::new(),
        })
    }
}

impl Filling {
    /// `Err(None)` if a message shall fill what is no struct.
    fn new(
        field: &FieldDescriptor,
        kind: &Kind,
        column: Option<&Column>,
    ) -> Result<Self, Option<Error>> {
        let Kind::Message(message) = kind else {
            return Ok(Self::Scalar(Scalar::of_kind(kind, column)));
        };
        Ok(match (well_known(message), column.map(|c| &c.cells)) {
            (Some(WellKnown::Wrapper), _) => {
                let value = message.fields().next().expect("a wrapper has one field");
                Self::Wrapper(Scalar::of(&value, column))
            }
            (Some(WellKnown::Timestamp), Some(Cells::Moment { .. })) => {
                Self::Moment { is_instant: true }
            }
            (Some(WellKnown::Duration), Some(Cells::Moment { .. })) => {
                Self::Moment { is_instant: false }
            }
            (_, Some(Cells::Struct(object))) => {
                Self::Message(Box::new(Plan::new(message, object).map_err(Some)?))
            }
            // Without a column nothing is read.
            (_, None) => Self::Scalar(Scalar::of(field, None)),
            _ => return Err(None),
        })
    }
}

impl Scalar {
    fn of(field: &FieldDescriptor, column: Option<&Column>) -> Self {
        Self::of_kind(&field.kind(), column)
    }

    fn of_kind(kind: &Kind, column: Option<&Column>) -> Self {
        match kind {
            Kind::Double => Self::Double,
            Kind::Float => Self::Float,
            Kind::Int32 => Self::Int32,
            Kind::Int64 => Self::Int64,
            Kind::Uint32 => Self::UInt32,
            Kind::Uint64 => Self::UInt64,
            Kind::Sint32 => Self::SInt32,
            Kind::Sint64 => Self::SInt64,
            Kind::Fixed32 => Self::Fixed32,
            Kind::Fixed64 => Self::Fixed64,
            Kind::Sfixed32 => Self::SFixed32,
            Kind::Sfixed64 => Self::SFixed64,
            Kind::Bool => Self::Bool,
            Kind::String => Self::Text,
            Kind::Bytes | Kind::Message(_) => Self::Bytes,
            Kind::Enum(descriptor) => {
                let is_text = matches!(column.map(|c| &c.cells), Some(Cells::Text { .. }));
                let named = descriptor.values().filter(|_| is_text);
                Self::Enum(named.map(|v| (v.number(), v.name().into())).collect())
            }
        }
    }
}
