//! Windows in memory over a restart: what was read is read again as far as open windows need it, and
//! what was given out is not given out again.

use crate::engine::horizon::{Horizon, Point, Span};
use parking_lot::Mutex;

/// What a task with resumable windows knows of its past and leaves for its successor.
pub struct Resume {
    horizon: Mutex<Horizon>,
    point: Option<Point>,
}

impl Resume {
    /// A task that begins at `point`, or without a past.
    #[must_use]
    pub fn from(point: Option<Point>) -> Self {
        Self { horizon: Mutex::default(), point }
    }

    /// A task whose windows were restored as of offset `stored`, at `watermark`. Should the next one not
    /// find that store, it has to read from `point` on.
    #[must_use]
    pub fn restored(point: Option<Point>, stored: i64, watermark: i64, latest: i64) -> Self {
        let mut horizon = Horizon::default();
        if let Some(point) = point.filter(|point| point.offset < stored) {
            horizon.push(Span {
                first: point.offset,
                next: stored,
                watermark_before: point.watermark_before,
                watermark_after: watermark,
                latest: Some(latest),
                // Whatever is open was opened by one of its rows.
                needed: crate::engine::horizon::Needed::Since(i64::MIN),
            });
        }
        Self { horizon: Mutex::new(horizon), point: None }
    }

    /// Where reading begins.
    pub fn begins_at(&self) -> Option<i64> {
        self.point.map(|point| point.offset)
    }

    /// What was given out already: everything in front of this offset, at this watermark.
    pub fn given_out(&self) -> Option<(i64, i64)> {
        self.point.map(|point| (point.position, point.watermark))
    }

    /// Is a batch that ends in front of `next` one that is only read again?
    pub fn is_repeat(&self, next: i64) -> bool {
        self.point.is_some_and(|point| next <= point.position)
    }

    /// A batch has gone through the windows.
    pub fn note(&self, span: Span) {
        self.horizon.lock().push(span);
    }

    /// What to commit when everything in front of `position` is done; none while it only repeats.
    pub fn commit(&self, position: i64) -> Option<Point> {
        if self.point.is_some_and(|point| position < point.position) {
            return None;
        }
        // Before the first batch went through the windows nothing is open.
        self.horizon.lock().commit(position).or_else(|| Some(Point::plain(position)))
    }
}
