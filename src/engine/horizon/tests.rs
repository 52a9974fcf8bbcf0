//! A restart from a committed point has the windows that a run without a restart has.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const GAP: i64 = 5;

/// Windows in their plainest form: each holds the offsets of its rows.
#[derive(Clone, Debug, Default, PartialEq)]
struct Windows {
    /// Start to end and rows.
    open: BTreeMap<i64, (i64, Vec<i64>)>,
    sessions: bool,
}

impl Windows {
    fn take(&mut self, offset: i64, time: i64, watermark: i64) {
        if self.sessions {
            return self.take_into_session(offset, time, watermark);
        }
        let start = time.div_euclid(10) * 10;
        if start + 10 > watermark {
            self.open.entry(start).or_insert((start + 10, Vec::new())).1.push(offset);
        }
    }

    fn take_into_session(&mut self, offset: i64, time: i64, watermark: i64) {
        let touched: Vec<i64> = self
            .open
            .iter()
            .filter(|(start, (end, _))| time < *end && time + GAP > **start)
            .map(|(start, _)| *start)
            .collect();
        if touched.is_empty() && time + GAP <= watermark {
            return;
        }
        let (mut start, mut end, mut rows) = (time, time + GAP, vec![offset]);
        for other in touched {
            let (others_end, others) = self.open.remove(&other).unwrap();
            (start, end) = (start.min(other), end.max(others_end));
            rows.extend(others);
        }
        rows.sort_unstable();
        self.open.insert(start, (end, rows));
    }

    fn close(&mut self, watermark: i64) {
        self.open.retain(|_, (end, _)| *end > watermark);
    }

    fn needed(&self) -> Needed {
        self.open.keys().next().map_or(Needed::Nothing, |start| Needed::Since(*start))
    }
}

/// Runs the batches `cuts` of `times` through windows, as the line does.
struct Line<'a> {
    times: &'a [Option<i64>],
    windows: Windows,
    watermark: i64,
    horizon: Horizon,
}

impl<'a> Line<'a> {
    fn new(times: &'a [Option<i64>], sessions: bool) -> Self {
        let windows = Windows { sessions, ..Windows::default() };
        Self { times, windows, watermark: i64::MIN, horizon: Horizon::default() }
    }

    fn run(&mut self, first: usize, next: usize) {
        let watermark_before = self.watermark;
        for offset in first..next {
            let Some(time) = self.times[offset] else { continue };
            self.windows.take(offset as i64, time, self.watermark);
            self.watermark = self.watermark.max(time - 3);
            self.windows.close(self.watermark);
        }
        self.horizon.push(Span {
            first: first as i64,
            next: next as i64,
            watermark_before,
            watermark_after: self.watermark,
            latest: self.times[first..next].iter().copied().flatten().max(),
            needed: self.windows.needed(),
        });
    }
}

fn cuts(rows: usize, widths: &[usize]) -> Vec<(usize, usize)> {
    let (mut found, mut first) = (Vec::new(), 0);
    for width in widths.iter().cycle() {
        if first == rows {
            return found;
        }
        found.push((first, rows.min(first + width)));
        first = found[found.len() - 1].1;
    }
    found
}

proptest! {
    #[test]
    fn a_restart_finds_the_open_windows_again(
        times in prop::collection::vec(prop::option::weighted(0.9, 0..120_i64), 1..80),
        widths in prop::collection::vec(1..6_usize, 1..8),
        lag in 0..3_usize,
        sessions: bool,
    ) {
        let batches = cuts(times.len(), &widths);
        let mut line = Line::new(&times, sessions);
        let mut states = Vec::new();
        let mut offset = 0;
        for (number, (first, next)) in batches.iter().enumerate() {
            line.run(*first, *next);
            states.push(line.windows.clone());
            // Outputs are acknowledged some batches later.
            let Some(done) = number.checked_sub(lag) else { continue };
            let point = line.horizon.commit(batches[done].1 as i64).unwrap();
            prop_assert_eq!(point.position, batches[done].1 as i64);
            prop_assert!(point.offset >= offset && point.offset <= point.position);
            offset = point.offset;

            let read = Point::from_metadata(point.offset, &point.to_metadata());
            let read = read.unwrap_or(Point::plain(point.offset));
            prop_assert_eq!(read, point);
            let mut again = Line::new(&times, sessions);
            again.watermark = read.watermark_before;
            again.run(read.offset as usize, read.position as usize);
            prop_assert_eq!(&again.windows, &states[done]);
            prop_assert_eq!(again.watermark, read.watermark);
        }
    }
}

#[test]
fn a_batch_that_no_open_window_needs_is_forgotten() {
    let span = |first: i64, latest: i64, needed| Span {
        first,
        next: first + 10,
        watermark_before: first,
        watermark_after: first + 10,
        latest: Some(latest),
        needed,
    };
    let mut horizon = Horizon::default();
    horizon.push(span(0, 5, Needed::Since(0)));
    horizon.push(span(10, 15, Needed::Since(10)));
    horizon.push(span(20, 25, Needed::Nothing));
    assert_eq!(horizon.commit(5), None, "no batch is done");
    assert_eq!(horizon.commit(10).unwrap().offset, 0);
    assert_eq!(horizon.commit(20).unwrap().offset, 10);
    let last = horizon.commit(30).unwrap();
    assert_eq!((last.offset, last.watermark_before, last.watermark), (30, 30, 30));
    assert_eq!(horizon.commit(30), Some(last));
    assert!(horizon.spans.is_empty());
}

#[test]
fn metadata_of_others_is_left_alone() {
    let point = Point { offset: 5, position: 9, watermark_before: i64::MIN, watermark: 7 };
    let text = point.to_metadata();
    assert!(text.len() < 100, "{text}");
    assert_eq!(Point::from_metadata(5, &text), Some(point));
    assert_eq!(Point::from_metadata(10, &text), None, "somebody has reset the offset behind it");
    for other in ["", "turbine:1:", "turbine:2:{}", "{\"p\":1,\"b\":0,\"w\":0}"] {
        assert_eq!(Point::from_metadata(0, other), None, "{other}");
    }
}
