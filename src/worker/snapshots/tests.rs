//! Snapshots of tasks whose stores are in memory.

use super::*;
use crate::{
    metrics::Metrics,
    state::{Delta, MemoryStore, Space, Writes, snapshot::Shelf},
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

const DAY: Duration = Duration::from_secs(24 * 3_600);
const PATIENCE: Duration = Duration::from_secs(20);

fn settings() -> Settings {
    Settings {
        interval: DAY,
        bytes: u64::MAX,
        deadline: Duration::from_secs(10),
        retention: Retention::default(),
    }
}

fn url() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("memory://snapshots-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn unit() -> Unit {
    Unit { app: "app".into(), name: "count".into(), topic: "orders".into(), partition: 0 }
}

fn snapshots(url: &str, settings: Settings) -> Arc<Snapshots> {
    let (archive, metrics) = (Archive::open(url).unwrap(), Metrics::new());
    Snapshots::over(archive, settings, &Handle::current(), metrics.snapshots.clone())
}

fn write(store: &Arc<dyn Store>, next: i64) {
    let writes = Writes(vec![(next.to_be_bytes().to_vec(), Some(vec![7; 100]))]);
    let mark = Mark { next, token: 0, hash: 0, log: 3 * next };
    store.commit(&Delta(vec![(Space::STATE, writes)]), mark).unwrap();
}

fn store() -> Arc<dyn Store> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    write(&store, 1);
    store
}

fn subject(store: &Arc<dyn Store>) -> Subject {
    let spaces = vec![SpaceName::plain("state")];
    Subject { unit: unit(), partitions: 4, spaces, store: Arc::downgrade(store) }
}

fn shelf(url: &str) -> Shelf {
    Archive::open(url).unwrap().of(&unit()).unwrap()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_listed(url: &str, next: &[i64]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = shelf(url).list().await.unwrap();
        let found: Vec<i64> = listed.iter().map(|listed| listed.id.next).collect();
        if found == next {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?} instead of {next:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_that_is_asked_for_is_taken_and_told_of() {
    let (url, store) = (url(), store());
    let snapshots = snapshots(&url, settings());
    let covered = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&covered);
    snapshots.on_complete(Box::new(move |_, mark| told.lock().push(mark.log)));
    snapshots.watch(subject(&store)).unwrap();
    for next in [5, 9] {
        write(&store, next);
        assert_eq!(snapshots.ask(), 1);
        until("it is answered", || snapshots.views()[0].answered == snapshots.views()[0].asked)
            .await;
    }
    until_listed(&url, &[9, 5]).await;
    assert_eq!(*covered.lock(), [15, 27]);
    let view = snapshots.views().remove(0);
    assert_eq!((view.next, view.state, view.error), (Some(9), "waiting", None));
    drop(store);
    until("it is forgotten", || snapshots.views().is_empty()).await;
}

#[tokio::test]
async fn bytes_written_make_one_due_and_so_does_time() {
    let (url, store) = (url(), store());
    let by_bytes = snapshots(&url, Settings { bytes: 1_000, ..settings() });
    by_bytes.watch(subject(&store)).unwrap();
    (2..20).for_each(|next| write(&store, next));
    until_listed(&url, &[19]).await;
    drop(by_bytes);
    let soon = Duration::from_millis(50);
    let by_time = snapshots(&url, Settings { interval: soon, ..settings() });
    by_time.watch(subject(&store)).unwrap();
    until_listed(&url, &[19, 19]).await;
    write(&store, 20);
    until_listed(&url, &[20, 19, 19]).await;
}

#[tokio::test]
async fn an_end_in_order_takes_a_last_one() {
    let (url, store) = (url(), store());
    let snapshots = snapshots(&url, settings());
    snapshots.watch(subject(&store)).unwrap();
    snapshots.hold();
    write(&store, 7);
    let weak = Arc::downgrade(&store);
    drop(store);
    assert!(snapshots.finish(PATIENCE).await);
    until_listed(&url, &[7]).await;
    until("it is forgotten", || snapshots.views().is_empty()).await;
    until("the store is let go of", || weak.strong_count() == 0).await;
}

#[tokio::test]
async fn a_store_that_fails_is_counted_and_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("place");
    std::fs::write(&place, "a file where a folder has to be").unwrap();
    let (url, store) = (format!("file://{}", place.display()), store());
    let snapshots = snapshots(&url, settings());
    snapshots.watch(subject(&store)).unwrap();
    snapshots.ask();
    until("it fails", || !snapshots.troubles().is_empty()).await;
    let view = snapshots.views().remove(0);
    assert_eq!(view.state, "failing");
    assert!(view.failures > 0 && view.snapshot.is_none());
    assert!(snapshots.troubles()[0].contains("place"), "{:?}", snapshots.troubles());
    std::fs::remove_file(&place).unwrap();
    // Without being asked again.
    until("it is mended", || snapshots.troubles().is_empty()).await;
    until_listed(&url, &[1]).await;
}

#[tokio::test]
async fn whoever_has_lost_the_task_says_so_and_takes_no_more() {
    let (url, store) = (url(), store());
    let zombies = snapshots(&url, settings());
    zombies.watch(subject(&store)).unwrap();
    zombies.ask();
    until_listed(&url, &[1]).await;
    let owners = snapshots(&url, settings());
    owners.watch(subject(&store)).unwrap();
    owners.ask();
    until_listed(&url, &[1, 1]).await;
    write(&store, 2);
    zombies.ask();
    until("it is fenced", || zombies.views()[0].state == "fenced").await;
    assert!(zombies.troubles()[0].contains("taken them over"), "{:?}", zombies.troubles());
    zombies.ask();
    until("it is answered", || zombies.views()[0].answered == zombies.views()[0].asked).await;
    until_listed(&url, &[1, 1]).await;
}

#[tokio::test]
async fn an_end_waits_no_longer_than_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("place"), "").unwrap();
    let url = format!("file://{}/place", directory.path().display());
    let store = store();
    let snapshots = snapshots(&url, settings());
    snapshots.watch(subject(&store)).unwrap();
    snapshots.hold();
    drop(store);
    let began = Instant::now();
    assert!(!snapshots.finish(Duration::from_millis(100)).await);
    assert!(began.elapsed() < Duration::from_secs(5));
    until("it gives up", || snapshots.views().is_empty()).await;
}
