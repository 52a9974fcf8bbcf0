//! What lies behind the last record of a partition: markers of transactions, and what was aborted.
//!
//! Nobody is handed anything there, so a position that follows records stays in front of it. Were it left there, a
//! topic whose retention has removed everything would look as if unread records were gone, and lag never ended.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Where going on costs a commit of its own: after so long without a record, so that where records come all the
/// time no commit is made for the markers between them.
pub const QUIET: Duration = Duration::from_millis(300);

/// See the module.
#[derive(Debug, Default)]
pub struct Trailing {
    quiet: Duration,
    /// An offset that no record is in front of, and since when that is known.
    seen: Mutex<Option<(i64, Instant)>>,
}

impl Trailing {
    /// Goes on when nothing has come for `quiet`.
    #[must_use]
    pub fn after(quiet: Duration) -> Self {
        Self { quiet, seen: Mutex::default() }
    }

    /// The offset to go on to, if it is time: `reached`, where that is behind `begun`, the end of what was begun.
    pub fn look(&self, reached: Option<i64>, begun: Option<i64>, now: Instant) -> Option<i64> {
        let mut seen = self.seen.lock();
        let Some(reached) = reached.filter(|&at| begun.is_none_or(|begun| begun < at)) else {
            *seen = None;
            return None;
        };
        let since = match *seen {
            Some((at, since)) if at == reached => since,
            _ => now,
        };
        *seen = Some((reached, since));
        (now.duration_since(since) >= self.quiet).then_some(reached)
    }

    /// How long until it is worth looking again, at most `most`.
    pub fn wait(&self, most: Duration, now: Instant) -> Duration {
        let left = |(_, since): (i64, Instant)| (since + self.quiet).checked_duration_since(now);
        // What is due and was not done waits for something else.
        let left = self.seen.lock().and_then(left).filter(|left| !left.is_zero());
        left.map_or(most, |left| left.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_passed_once_it_is_quiet() {
        let (trailing, began) = (Trailing::after(QUIET), Instant::now());
        let at = |ms| began + Duration::from_millis(ms);
        let wait = |ms| trailing.wait(Duration::from_millis(200), at(ms)).as_millis();
        assert_eq!(trailing.look(None, Some(4), at(0)), None, "nobody knows");
        assert_eq!(wait(0), 200);
        assert_eq!(trailing.look(Some(5), Some(4), at(0)), None);
        assert_eq!(trailing.look(Some(5), Some(4), at(299)), None);
        assert_eq!((wait(90), wait(299), wait(300)), (200, 1, 200));
        assert_eq!(trailing.look(Some(7), Some(6), at(300)), None, "others");
        assert_eq!(trailing.look(Some(7), Some(6), at(599)), None);
        assert_eq!(trailing.look(Some(7), Some(6), at(600)), Some(7));
        assert_eq!(trailing.look(Some(7), Some(7), at(601)), None, "it is there");
        assert_eq!(trailing.look(Some(7), Some(6), at(602)), None, "seen anew");
    }

    #[test]
    fn where_it_costs_nothing_nobody_waits() {
        let (trailing, now) = (Trailing::default(), Instant::now());
        assert_eq!(trailing.look(Some(7), None, now), Some(7), "no record was there at all");
        assert_eq!(trailing.look(Some(7), Some(6), now), Some(7));
        assert_eq!(trailing.look(Some(7), Some(8), now), None, "never back");
    }
}
