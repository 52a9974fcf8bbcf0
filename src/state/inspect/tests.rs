//! Tables from outside.

use super::*;
use crate::state::{Delta, MemoryStore, Writes, value::Kind};
use std::time::Duration;

fn task(partition: i32) -> TaskName {
    TaskName { owner: "shop".into(), topic: "orders".into(), partition, partitions: 2 }
}

fn store(space: Space, rows: Vec<(Vec<u8>, Vec<u8>)>) -> Arc<dyn Store> {
    let store = MemoryStore::default();
    let writes = Writes(rows.into_iter().map(|(key, value)| (key, Some(value))).collect());
    let mark = Mark { next: 7, token: 0, hash: 0, log: -1 };
    store.commit(&Delta(vec![(space, writes)]), mark).unwrap();
    Arc::new(store)
}

/// Two partitions of 50 keys.
fn counts() -> Vec<Part> {
    let rows = |partition: i32| {
        let key = |n: i32| format!("user-{:03}", 2 * n + partition).into_bytes();
        (0..50).map(|n| (key(n), n.to_string().into_bytes())).collect()
    };
    let opened = |partition| Opened {
        task: task(partition),
        spaces: vec![SpaceName::by_key("counts")],
        store: store(Space(0), rows(partition)),
    };
    parts(&[opened(1), opened(0)])
}

fn asked() -> Asked {
    let until = Instant::now() + Duration::from_secs(60);
    Asked { prefix: String::new(), scope: None, partition: None, after: None, limit: 7, until }
}

#[test]
fn pages_have_every_row_once() {
    let parts = counts();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = page(&parts, &Asked { after, ..asked() }).unwrap();
        assert!(page.rows.len() <= 7);
        seen.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), 100);
    let places: Vec<_> = seen.iter().map(|row| (row.partition, row.key.to_string())).collect();
    assert!(places.is_sorted() && seen[3].value == json!(3), "{places:?}");
}

#[test]
fn a_page_can_be_of_one_partition_and_prefix() {
    let parts = counts();
    let some = Asked { prefix: "user-09".into(), partition: Some(1), limit: 100, ..asked() };
    let keys: Vec<_> = page(&parts, &some).unwrap().rows.into_iter().map(|row| row.key).collect();
    assert_eq!(keys, ["user-091", "user-093", "user-095", "user-097", "user-099"]);
    let refused = page(&parts, &Asked { after: Some("nonsense".into()), ..asked() }).unwrap_err();
    assert!(refused.to_string().contains("the page before"), "{refused}");
}

#[test]
fn a_late_page_ends_and_goes_on() {
    let parts = counts();
    let late = Asked { until: Instant::now(), limit: 1_000, ..asked() };
    let first = page(&parts, &late).unwrap();
    assert_eq!(first.rows.len(), ROWS_A_LOOK - 1);
    assert!(first.next.is_some());
}

#[test]
fn a_key_is_found_where_it_is() {
    let found: Vec<_> =
        counts().iter().filter_map(|part| part.find("user-003", None).unwrap()).collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].partition, &found[0].value), (1, &json!(1)));
    let stats = counts()[0].stats().unwrap();
    assert_eq!((stats.keys, stats.key_bytes, stats.value_bytes), (50, 400, 90));
}

#[test]
fn state_of_a_handler_has_scopes_and_kinds() {
    let value = |kind, payload: &[u8], expires_ms| Value { kind, expires_ms, payload }.write();
    let rows = vec![
        (keys::join(None, b"total"), value(Kind::Int, &5_i64.to_le_bytes(), None)),
        (keys::join(Some(b"ada"), b"seen"), value(Kind::Json, b"{\"n\":1}", Some(99))),
    ];
    let spaces = vec![SpaceName::scoped("state"), SpaceName::plain("windows")];
    let parts = parts(&[Opened { task: task(0), spaces, store: store(Space(0), rows) }]);
    let names: Vec<_> = parts.iter().map(|part| part.table.as_str()).collect();
    assert_eq!(names, ["shop", "shop.windows"]);
    let all = page(&parts[..1], &asked()).unwrap().rows;
    let shown: Vec<_> = all.iter().map(|row| serde_json::to_value(row).unwrap()).collect();
    assert_eq!(shown[0], json!({"key": "total", "value": 5, "topic": "orders", "partition": 0}));
    assert_eq!(shown[1]["scope"], json!("ada"));
    assert_eq!((&shown[1]["value"], &shown[1]["expires_ms"]), (&json!({"n": 1}), &json!(99)));
    let scoped = page(&parts[..1], &Asked { scope: Some("ada".into()), ..asked() }).unwrap();
    assert_eq!(scoped.rows.len(), 1);
    assert_eq!(parts[0].find("seen", Some("ada")).unwrap().as_ref(), Some(&all[1]));
    assert_eq!(parts[0].find("seen", None).unwrap(), None);
}

#[test]
fn bytes_that_are_no_text_are_shown_as_hex() {
    assert_eq!(text(b"caf\xc3\xa9"), json!("caf\u{e9}"));
    assert_eq!(text(&[0, 255]), json!({"bytes": "00ff"}));
    assert_eq!(text(&[1; 5_000])["of"], json!(5_000));
    assert_eq!(from_hex("00fF"), Some(vec![0, 255]));
    assert!(from_hex("0").is_none() && from_hex("zz").is_none());
}
