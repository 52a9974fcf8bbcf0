//! Members that come back under their name, against the embedded broker.

use super::exact::{Everything, broker_with, member, numbers, tp};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use turbine::{
    broker::Broker,
    kafka::consumer::{Begin, GroupConsumer, Listener, Membership},
};

/// Far shorter than the session timeout, which is 45 s where nobody says otherwise.
const SOON: Duration = Duration::from_secs(10);

fn join(broker: &Broker, name: &str) -> (GroupConsumer, Arc<Everything>) {
    let all = Arc::new(Everything::new(Begin::At(0)));
    let (address, topics) = (broker.address(), ["t".to_owned()]);
    let named = Membership { name: Some(name), ..member(&address, "g", &topics) };
    let consumer = GroupConsumer::join(&named, Arc::clone(&all) as Arc<dyn Listener>).unwrap();
    (consumer, all)
}

fn wait(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < end, "{what} after {SOON:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn read(all: &Everything) {
    assert_eq!(all.take(1, SOON), [(0, "0".to_owned())]);
}

/// The one before it still says that it is there: nobody has waited for its session.
#[test]
fn who_comes_back_takes_over_at_once_and_the_one_before_is_told() {
    let broker = broker_with(&numbers(0..1));
    let (gone, before) = join(&broker, "n");
    read(&before);
    let (member, after) = join(&broker, "n");
    read(&after);
    wait("nobody was told", || before.shut_out.lock().is_some());
    let why = before.shut_out.lock().clone().unwrap();
    assert!(why.contains("group.instance.id"), "{why}");
    assert_eq!(*after.shut_out.lock(), None);
    for (member, all) in [(gone, before), (member, after)] {
        all.clear();
        member.leave();
    }
}

/// By itself the client library would leave the group waiting for a member with a name.
#[test]
fn who_has_a_name_and_stops_in_order_leaves_at_once() {
    let broker = broker_with(&numbers(0..1));
    let (member, all) = join(&broker, "one");
    read(&all);
    all.clear();
    member.leave();
    assert_eq!(*all.gone.lock(), [tp()]);
    let (member, all) = join(&broker, "two");
    read(&all);
    all.clear();
    member.leave();
}

/// The group has a member as soon as that asks for it, whether it waits for the answer or not.
#[test]
fn who_has_a_name_and_stops_while_it_joins_is_missed_by_nobody() {
    let broker = broker_with(&numbers(0..1));
    let (member, early) = join(&broker, "one");
    member.leave();
    early.clear();
    let (member, all) = join(&broker, "two");
    read(&all);
    all.clear();
    member.leave();
}
