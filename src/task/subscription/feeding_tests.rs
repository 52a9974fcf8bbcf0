//! What readers of an internal topic know of the watermark of each task that writes it.

use super::*;
use crate::{engine::origin::HEADER, types::Header, window::watermark::Combined};
use arrow::array::{Array as _, StringArray};
use proptest::prelude::*;

const PARTITIONS: usize = 3;

fn feeding(partition: i32, lag_ms: i64) -> Feeding {
    let config = FeedsConfig { column: Some("key".into()), lag_ms };
    Feeding::new(&config, &TopicPartition::new("left", partition), 2, PARTITIONS)
}

fn rows(rows: &[(String, i64)]) -> Vec<(Outlet, RecordBatch)> {
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.0)));
    let times: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let batch = RecordBatch::try_from_iter([("key", keys), (EVENT_TIME, times)]).unwrap();
    vec![(Outlet::Main, batch)]
}

/// Partition, event time of a row, and the word that came along, of every record in order.
fn read(out: &[(Outlet, RecordBatch)]) -> Vec<(i32, Option<i64>, Origin)> {
    let mut found = Vec::new();
    for (_, batch) in out {
        let places = batch.column_by_name("_partition").unwrap();
        let places = places.as_primitive::<arrow::datatypes::Int32Type>();
        let times = batch.column_by_name(TIME).unwrap().as_primitive::<Int64Type>();
        let words = batch.column_by_name("_headers").unwrap().as_map().entries().column(1).clone();
        for row in 0..batch.num_rows() {
            let word = words.as_binary::<i32>().value(row).to_vec();
            let header: Header = (HEADER.to_owned(), Some(word));
            let time = times.is_valid(row).then(|| times.value(row));
            found.push((places.value(row), time, Origin::find(&[header]).unwrap()));
        }
    }
    found
}

fn told(watermark_ms: i64) -> Told {
    Told { watermark_ms: Some(watermark_ms), is_silent: false }
}

#[test]
fn partitions_without_a_row_get_a_mark_and_nobody_is_told_twice() {
    let mut feeding = feeding(1, 10);
    let out = read(&feeding.apply(rows(&[("a".into(), 100)]), told(60), 5).unwrap());
    assert_eq!(out.len(), PARTITIONS);
    assert!(out.iter().all(|(.., word)| word.watermark_ms == Some(50) && word.partition == 1));
    let kinds: Vec<_> = out.iter().map(|(.., word)| word.kind).collect();
    assert_eq!(kinds, [Kind::Row, Kind::Mark, Kind::Mark]);
    assert!(feeding.apply(Vec::new(), told(55), 6).unwrap().is_empty(), "it never goes back");
    let silent = Told { is_silent: true, ..told(60) };
    let out = read(&feeding.apply(Vec::new(), silent, 6).unwrap());
    assert!(out.len() == PARTITIONS && out.iter().all(|(.., word)| word.kind == Kind::Idle));
    assert!(feeding.is_silent && feeding.apply(Vec::new(), silent, 6).unwrap().is_empty());
    feeding.apply(rows(&[("a".into(), 100)]), told(60), 7).unwrap();
    assert!(!feeding.is_silent);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Rows of a task that are behind its watermark by no more than the lag are never late for a reader, and
    /// every reader gets to the watermark in the end.
    #[test]
    fn no_row_is_late_and_every_reader_gets_on(
        batches in prop::collection::vec(
            (prop::collection::vec(("[a-e]", 0_i64..40), 0..6), 0_i64..30),
            1..20,
        ),
        lag in 0_i64..30,
    ) {
        let mut feeding = feeding(0, lag);
        let mut readers: Vec<Combined> = (0..PARTITIONS).map(|_| Combined::default()).collect();
        let (mut watermark, mut latest) = (0, None);
        for (given, step) in batches {
            // What a batch gives is behind the watermark in front of it by the lag at most.
            let given: Vec<_> =
                given.into_iter().map(|(key, time)| (key, watermark - lag + time)).collect();
            watermark += step;
            latest = Some(watermark - lag);
            for (place, time, word) in read(&feeding.apply(rows(&given), told(watermark), 1).unwrap()) {
                let reader = &mut readers[usize::try_from(place).unwrap()];
                prop_assert!(time.is_none_or(|time| time >= reader.current()));
                if let Some(ms) = word.watermark_ms {
                    reader.reach(0, ms);
                }
            }
        }
        prop_assert!(readers.iter().all(|reader| Some(reader.current()) == latest));
    }
}
