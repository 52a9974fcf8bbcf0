//! Random rows.

use arrow::{
    array::{
        ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
        TimestampMillisecondArray, UInt64Array,
    },
    datatypes::DataType,
};
use proptest::{collection::vec, option, prelude::*};
use std::sync::Arc;

/// Slots that rows go to.
pub(super) const SLOTS: u32 = 3;
/// Most rows of a case.
const ROWS: usize = 40;

/// Rows with a slot, a time and some columns.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) slots: Vec<u32>,
    pub(super) times: Vec<i64>,
    pub(super) columns: Vec<ArrayRef>,
    /// Where the rows are cut into parts, ascending.
    pub(super) cuts: Vec<usize>,
}

/// Rows with columns as `column` gives them.
pub(super) fn case(columns: Vec<Column>) -> BoxedStrategy<Case> {
    (0..ROWS)
        .prop_flat_map(move |len| {
            let arrays: Vec<_> = columns.iter().map(|column| column(len)).collect();
            (
                vec(0..SLOTS, len),
                vec(0..10i64, len),
                arrays,
                vec(0..=len, 0..4).prop_map(|mut cuts| {
                    cuts.sort_unstable();
                    cuts
                }),
            )
        })
        .prop_map(|(slots, times, columns, cuts)| Case { slots, times, columns, cuts })
        .boxed()
}

/// A strategy of arrays of a length.
pub(super) type Column = Arc<dyn Fn(usize) -> BoxedStrategy<ArrayRef>>;

/// Arrays of values of a strategy, with nulls.
fn arrays<S, A>(values: fn() -> S) -> Column
where
    S: Strategy + 'static,
    A: arrow::array::Array + From<Vec<Option<S::Value>>> + 'static,
{
    Arc::new(move |len| {
        vec(option::weighted(0.8, values()), len)
            .prop_map(|values| Arc::new(A::from(values)) as ArrayRef)
            .boxed()
    })
}

/// Small and large integers.
pub(super) fn integers() -> Column {
    arrays::<_, Int64Array>(|| prop_oneof![-5..5i64, any::<i32>().prop_map(i64::from)])
}

/// Integers of 32 bits.
pub(super) fn short_integers() -> Column {
    arrays::<_, Int32Array>(|| -5..5i32)
}

/// Unsigned integers that can be added up.
pub(super) fn unsigned() -> Column {
    arrays::<_, UInt64Array>(|| any::<u32>().prop_map(u64::from))
}

/// Floats of very different sizes, NaN and infinities among them.
pub(super) fn floats() -> Column {
    arrays::<_, Float64Array>(|| {
        prop_oneof![
            8 => any::<f64>(),
            8 => -1000.0..1000.0f64,
            4 => (-3..3i8).prop_map(f64::from),
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
        ]
    })
}

/// Floats of like sizes.
pub(super) fn tame_floats() -> Column {
    arrays::<_, Float64Array>(|| -1000.0..1000.0f64)
}

/// Decimals with two places.
pub(super) fn decimals() -> Column {
    Arc::new(|len| {
        vec(option::weighted(0.8, -100_000..100_000i128), len)
            .prop_map(|values| {
                let array =
                    Decimal128Array::from(values).with_data_type(DataType::Decimal128(12, 2));
                Arc::new(array) as ArrayRef
            })
            .boxed()
    })
}

/// Short strings, the empty one among them.
pub(super) fn strings() -> Column {
    arrays::<_, StringArray>(|| "[a-c]{0,2}|ü{1,40}")
}

/// True and false.
pub(super) fn booleans() -> Column {
    arrays::<_, BooleanArray>(any::<bool>)
}

/// Times in UTC.
pub(super) fn times() -> Column {
    Arc::new(|len| {
        vec(option::weighted(0.8, -100..100i64), len)
            .prop_map(|values| {
                Arc::new(TimestampMillisecondArray::from(values).with_timezone("UTC")) as ArrayRef
            })
            .boxed()
    })
}

/// One column of each kind of type.
pub(super) fn any_column() -> Vec<Column> {
    vec![
        integers(),
        short_integers(),
        unsigned(),
        floats(),
        decimals(),
        strings(),
        booleans(),
        times(),
    ]
}

/// Columns of numbers.
pub(super) fn numbers() -> Vec<Column> {
    vec![integers(), short_integers(), unsigned(), floats(), decimals()]
}
