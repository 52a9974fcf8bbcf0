//! What a window reads of a batch: times, watermarks, keys and the inputs of its aggregates.
//!
//! The types are those of the first batch. Later ones may be cast to them where no value changes; a
//! column that is absent is null.

use crate::{
    error::{Error, Result},
    expr::Expression,
    window::{
        aggregate::InputSpec,
        keys::KeyRows,
        spec::{WindowKind, WindowSpec},
        time::{EVENT_TIME, EventTime, Unit, WATERMARK},
        watermark,
    },
};
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, new_null_array},
    buffer::{NullBuffer, ScalarBuffer},
    compute::cast,
    datatypes::{DataType, Field, Int64Type, Schema},
};

/// Inputs of the aggregates of one batch.
#[derive(Default)]
pub(super) struct Inputs {
    /// For each aggregate its columns.
    pub(super) arrays: Vec<Vec<ArrayRef>>,
    /// Event time of each row; anything where it has none.
    pub(super) times: ScalarBuffer<i64>,
}

/// Rows of a batch as a kind of window reads them.
pub(super) struct Feed {
    pub(super) keys: KeyRows,
    pub(super) times: ScalarBuffer<i64>,
    timed: Option<NullBuffer>,
    /// Before each row; they never go back.
    pub(super) watermarks: Vec<i64>,
}

impl Feed {
    pub(super) fn new(keys: KeyRows, clock: Clock) -> Self {
        Self { keys, times: clock.times, timed: clock.timed, watermarks: clock.watermarks }
    }

    #[inline]
    pub(super) fn time(&self, row: usize) -> Option<i64> {
        match &self.timed {
            Some(timed) if timed.is_null(row) => None,
            _ => Some(self.times[row]),
        }
    }
}

/// Times and watermarks of a batch.
pub(super) struct Clock {
    pub(super) times: ScalarBuffer<i64>,
    timed: Option<NullBuffer>,
    watermarks: Vec<i64>,
    /// The watermark behind the last row, where the rows themselves are its source.
    pub(super) after: Option<i64>,
}

enum Input {
    Column(String),
    Expression(Box<Expression>),
}

/// The columns of a declaration, and their types once they are known.
pub(super) struct Columns {
    window: String,
    time: EventTime,
    /// The window has a time column of its own, so the line's watermark is not its own.
    own_time: bool,
    needs_time: bool,
    key: Vec<String>,
    inputs: Vec<Vec<Input>>,
}

/// Types of the keys and, for each aggregate, of its inputs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Types {
    pub(super) keys: Vec<DataType>,
    pub(super) inputs: Vec<Vec<DataType>>,
}

impl Columns {
    pub(super) fn new(spec: &WindowSpec) -> Result<Self> {
        let input = |input: &InputSpec| match input {
            InputSpec::Column(name) => Ok(Input::Column(name.clone())),
            InputSpec::Expression(tree) => {
                Ok(Input::Expression(Box::new(Expression::parse(tree)?)))
            }
        };
        let inputs = spec.aggregates.iter().map(|one| one.inputs.iter().map(input).collect());
        let time = spec.time_column.as_deref().unwrap_or(EVENT_TIME);
        Ok(Self {
            window: spec.name.clone(),
            time: EventTime::new(time, Unit::Ms),
            own_time: spec.time_column.is_some(),
            needs_time: !matches!(spec.kind, WindowKind::Count { .. } | WindowKind::Global),
            key: spec.key.clone(),
            inputs: inputs.collect::<Result<_>>()?,
        })
    }

    /// The watermark comes from the rows themselves, as far as is known before the first batch.
    pub(super) fn own_time(&self) -> bool {
        self.own_time
    }

    /// The types of a first batch.
    pub(super) fn types(&self, batch: &RecordBatch) -> Result<Types> {
        let keys = self.key.iter().map(|name| Ok(plain(self.column(batch, name)?.data_type())));
        let kinds = |inputs: &Vec<Input>| -> Result<Vec<DataType>> {
            inputs.iter().map(|input| Ok(self.input(batch, input)?.data_type().clone())).collect()
        };
        Ok(Types {
            keys: keys.collect::<Result<_>>()?,
            inputs: self.inputs.iter().map(kinds).collect::<Result<_>>()?,
        })
    }

    pub(super) fn keys(&self, batch: &RecordBatch, types: &Types) -> Result<Vec<ArrayRef>> {
        let pairs = self.key.iter().zip(&types.keys);
        pairs.map(|(name, kind)| self.as_bound(batch, name, kind)).collect()
    }

    pub(super) fn inputs(&self, batch: &RecordBatch, types: &Types) -> Result<Vec<Vec<ArrayRef>>> {
        let one = |(input, kind): (&Input, &DataType)| match input {
            Input::Column(name) => self.as_bound(batch, name, kind),
            Input::Expression(_) => self.fit("an expression", self.input(batch, input)?, kind),
        };
        let pairs = self.inputs.iter().zip(&types.inputs);
        pairs.map(|(inputs, kinds)| inputs.iter().zip(kinds).map(one).collect()).collect()
    }

    /// Times of the rows, and the watermark before each, from `floor` on.
    pub(super) fn clock(&self, batch: &RecordBatch, floor: i64) -> Result<Clock> {
        let rows = batch.num_rows();
        let timeless =
            !self.needs_time && !self.own_time && batch.column_by_name(EVENT_TIME).is_none();
        if timeless {
            let (times, watermarks) = (vec![i64::MIN; rows].into(), vec![floor; rows]);
            return Ok(Clock { times, timed: None, watermarks, after: None });
        }
        let times = self.times(batch)?;
        let given = batch.column_by_name(WATERMARK).filter(|_| !self.own_time);
        let mut current = floor;
        let mut watermarks = Vec::with_capacity(rows);
        if let Some(given) = given.and_then(|column| column.as_primitive_opt::<Int64Type>()) {
            for watermark in given.values() {
                current = current.max(*watermark);
                watermarks.push(current);
            }
            let timed = times.nulls().cloned();
            return Ok(Clock { times: times.values().clone(), timed, watermarks, after: None });
        }
        let mut own = watermark::Watermark::new(0);
        own.restore(floor);
        let watermarks = own.before(&times).values().to_vec();
        let timed = times.nulls().cloned();
        Ok(Clock { times: times.values().clone(), timed, watermarks, after: Some(own.current()) })
    }

    fn times(&self, batch: &RecordBatch) -> Result<Int64Array> {
        // What the line adds is in ms already.
        let line = batch.column_by_name(EVENT_TIME).filter(|_| !self.own_time);
        match line.and_then(|column| column.as_primitive_opt::<Int64Type>()) {
            Some(times) => Ok(times.clone()),
            None => Ok(self.time.read(batch)?.values),
        }
    }

    fn column<'a>(&self, batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
        batch.column_by_name(name).ok_or_else(|| {
            let schema = batch.schema();
            let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let window = &self.window;
            let names = names.join(", ");
            let what =
                format!("window {window:?}: there is no column {name:?}; the rows have {names}");
            Error::Declaration(what)
        })
    }

    fn input(&self, batch: &RecordBatch, input: &Input) -> Result<ArrayRef> {
        match input {
            Input::Column(name) => self.column(batch, name).cloned(),
            Input::Expression(expression) => expression.evaluate(batch),
        }
    }

    fn as_bound(&self, batch: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef> {
        match batch.column_by_name(name) {
            Some(column) => self.fit(name, column.clone(), kind),
            None => Ok(new_null_array(kind, batch.num_rows())),
        }
    }

    fn fit(&self, name: &str, column: ArrayRef, kind: &DataType) -> Result<ArrayRef> {
        let found = column.data_type();
        if found == kind {
            return Ok(column);
        }
        if !is_lossless(found, kind) {
            return Err(Error::Declaration(format!(
                "window {:?}: column {name:?} was {kind} and is {found} now; declare a schema, so that it \
                 keeps its type",
                self.window
            )));
        }
        cast(&column, kind).map_err(|err| {
            Error::Declaration(format!("window {:?}: column {name:?}: {err}", self.window))
        })
    }
}

/// The type of a key column in results: that of its values.
fn plain(kind: &DataType) -> DataType {
    match kind {
        DataType::Dictionary(_, values) => plain(values),
        kind => kind.clone(),
    }
}

/// Does every value of `from` have the same value in `to`?
fn is_lossless(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Float32, Float64, Int8, Int16, Int32, Int64, LargeUtf8, UInt8, UInt16, UInt32, UInt64,
        Utf8, Utf8View,
    };
    match (from, to) {
        (DataType::Null, _) => true,
        (DataType::Dictionary(_, values), to) => **values == *to || is_lossless(values, to),
        (Utf8 | LargeUtf8 | Utf8View, to) => matches!(to, Utf8 | LargeUtf8 | Utf8View),
        (Int8, to) => matches!(to, Int16 | Int32 | Int64 | Float32 | Float64),
        (Int16, to) => matches!(to, Int32 | Int64 | Float32 | Float64),
        (Int32, to) => matches!(to, Int64 | Float64),
        (UInt8, to) => matches!(to, UInt16 | UInt32 | UInt64 | Int16 | Int32 | Int64 | Float64),
        (UInt16, to) => matches!(to, UInt32 | UInt64 | Int32 | Int64 | Float64),
        (UInt32, to) => matches!(to, UInt64 | Int64 | Float64),
        (Float32, to) => matches!(to, Float64),
        _ => false,
    }
}

/// Types as a schema, so that they can be kept as bytes.
pub(super) fn as_schema(types: &Types) -> Schema {
    let keys = types.keys.iter().map(|kind| Field::new("key", kind.clone(), true));
    let inputs = types.inputs.iter().enumerate().flat_map(|(at, kinds)| {
        kinds.iter().map(move |kind| Field::new(at.to_string(), kind.clone(), true))
    });
    Schema::new(keys.chain(inputs).collect::<Vec<_>>())
}

/// The way back from [`as_schema`]; `aggregates` is their number.
pub(super) fn from_schema(schema: &Schema, aggregates: usize) -> Types {
    let mut types = Types { keys: Vec::new(), inputs: vec![Vec::new(); aggregates] };
    for field in schema.fields() {
        let at = field.name().parse::<usize>().ok().and_then(|at| types.inputs.get_mut(at));
        at.unwrap_or(&mut types.keys).push(field.data_type().clone());
    }
    types
}
