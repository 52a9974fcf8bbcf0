//! Consumer groups of the embedded broker, request by request.

use kafka_protocol::{
    messages::{
        ApiKey, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
        DescribeGroupsRequest, DescribeGroupsResponse, GroupId, HeartbeatRequest,
        HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, MetadataRequest, MetadataResponse,
        RequestHeader, ResponseHeader, SyncGroupRequest, SyncGroupResponse, TopicName,
        join_group_request::JoinGroupRequestProtocol, metadata_request::MetadataRequestTopic,
        sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::{Decodable, Encodable, StrBytes},
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};
use turbine::{
    broker::{Broker, BrokerConfig},
    clock::Clock,
};

const SESSION_MS: i32 = 10_000;
const UNKNOWN_MEMBER_ID: i16 = 25;
const REBALANCE_IN_PROGRESS: i16 = 27;
const GROUP_ID_NOT_FOUND: i16 = 69;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

/// A connection of a client that says only what the test says.
struct Client(TcpStream);

impl Client {
    fn of(broker: &Broker) -> Self {
        let socket = TcpStream::connect(broker.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(socket)
    }

    fn ask<Q: Encodable, A: Decodable>(&mut self, key: ApiKey, version: i16, request: &Q) -> A {
        let mut frame = vec![0; 4];
        RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_client_id(Some(text("the-client")))
            .encode(&mut frame, key.request_header_version(version))
            .unwrap();
        request.encode(&mut frame, version).unwrap();
        let length = frame.len() as u32 - 4;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.0.write_all(&frame).unwrap();
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer).unwrap();
        let mut answer = bytes::Bytes::from(answer);
        ResponseHeader::decode(&mut answer, key.response_header_version(version)).unwrap();
        A::decode(&mut answer, version).unwrap()
    }

    /// Joins a group of its own with the whole of it as its assignment; the member id.
    fn join(&mut self, name: &str) -> String {
        let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
        let join = JoinGroupRequest::default()
            .with_group_id(group(name))
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(SESSION_MS)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let joined: JoinGroupResponse = self.ask(ApiKey::JoinGroup, 3, &join);
        assert_eq!((joined.error_code, joined.generation_id), (0, 1));
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(joined.member_id.clone())
            .with_assignment(bytes::Bytes::from_static(b"all"));
        let sync = SyncGroupRequest::default()
            .with_group_id(group(name))
            .with_generation_id(1)
            .with_member_id(joined.member_id.clone())
            .with_assignments(vec![assignment]);
        let synced: SyncGroupResponse = self.ask(ApiKey::SyncGroup, 3, &sync);
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"all"[..]));
        joined.member_id.to_string()
    }

    fn heartbeat(&mut self, name: &str, member_id: &str) -> i16 {
        let heartbeat = HeartbeatRequest::default()
            .with_group_id(group(name))
            .with_generation_id(1)
            .with_member_id(text(member_id));
        self.ask::<_, HeartbeatResponse>(ApiKey::Heartbeat, 3, &heartbeat).error_code
    }

    /// Speaks for a member of the `consumer` protocol, which reads `t`: error, epoch, and how many
    /// partitions it is told to read.
    fn consumer(&mut self, name: &str, member_id: &str, epoch: i32) -> (i16, i32, Option<usize>) {
        let mut beat = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group(name))
            .with_member_id(text(member_id))
            .with_member_epoch(epoch);
        if epoch == 0 {
            beat = beat
                .with_rebalance_timeout_ms(SESSION_MS)
                .with_subscribed_topic_names(Some(vec![TopicName(text("t"))]))
                .with_topic_partitions(Some(Vec::new()));
        }
        let answer: ConsumerGroupHeartbeatResponse =
            self.ask(ApiKey::ConsumerGroupHeartbeat, 1, &beat);
        let assigned = answer.assignment.map(|assignment| {
            assignment.topic_partitions.iter().map(|topic| topic.partitions.len()).sum()
        });
        (answer.error_code, answer.member_epoch, assigned)
    }

    /// Makes the topic `t` with four partitions.
    fn create_topic(&mut self) {
        let metadata = MetadataRequest::default()
            .with_topics(Some(vec![
                MetadataRequestTopic::default().with_name(Some(TopicName(text("t")))),
            ]))
            .with_allow_auto_topic_creation(true);
        let _: MetadataResponse = self.ask(ApiKey::Metadata, 9, &metadata);
    }

    fn members_of(&mut self, name: &str) -> usize {
        let describe = DescribeGroupsRequest::default().with_groups(vec![group(name)]);
        let described: DescribeGroupsResponse = self.ask(ApiKey::DescribeGroups, 0, &describe);
        described.groups[0].members.len()
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The files as a kill would leave them: a copy, while the broker runs.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if path.is_dir() {
            copy(&path, &to.join(name))
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[test]
fn members_go_on_in_their_generation_after_the_broker_was_killed() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clock = Clock::standing_at(1_700_000_000_000);
    let config = |dir: &Path| BrokerConfig {
        data_dir: Some(dir.into()),
        clock: clock.clone(),
        ..BrokerConfig::default()
    };
    let broker = Broker::start(config(before.path())).unwrap();
    let mut client = Client::of(&broker);
    let stays = client.join("stays");
    let leaves = client.join("leaves");
    copy(before.path(), after.path());
    broker.stop();

    let broker = Broker::start(config(after.path())).unwrap();
    let mut client = Client::of(&broker);
    assert_eq!((client.members_of("stays"), client.members_of("leaves")), (1, 1));
    assert_eq!(client.heartbeat("stays", &stays), 0);
    clock.advance(Duration::from_millis(SESSION_MS as u64 + 1));
    wait_until("the session of who does not come back ends", || client.members_of("leaves") == 0);
    assert_eq!(client.heartbeat("leaves", &leaves), UNKNOWN_MEMBER_ID);
    assert_eq!(client.heartbeat("stays", &stays), 0);
}

/// A minute of a test takes no time: who is connected could not have sent its heartbeats, and who
/// is not will never send any.
#[test]
fn on_a_clock_that_is_moved_only_members_without_a_connection_are_silent() {
    let clock = Clock::standing_at(1_700_000_000_000);
    let config = BrokerConfig { clock: clock.clone(), ..BrokerConfig::default() };
    let broker = Broker::start(config).unwrap();
    let (mut here, mut gone) = (Client::of(&broker), Client::of(&broker));
    let (stays, leaves) = (here.join("stays"), gone.join("leaves"));
    for _ in 0..10 {
        clock.advance(Duration::from_secs(60));
        assert_eq!(here.heartbeat("stays", &stays), 0);
    }
    drop(gone);
    clock.advance(Duration::from_secs(60));
    wait_until("the member without a connection is out", || here.members_of("leaves") == 0);
    assert_eq!(here.heartbeat("leaves", &leaves), UNKNOWN_MEMBER_ID);
    assert_eq!(here.heartbeat("stays", &stays), 0);
}

#[test]
fn a_member_that_is_expired_by_hand_is_unknown_at_once() {
    let broker = Broker::start(BrokerConfig::default()).unwrap();
    let mut client = Client::of(&broker);
    let member_id = client.join("g");
    assert_eq!(broker.expire_member("g", "somebody"), 0);
    assert_eq!(broker.expire_member("no such group", "the-client"), 0);
    assert_eq!(broker.expire_member("g", "the-client"), 1);
    assert_eq!(client.heartbeat("g", &member_id), UNKNOWN_MEMBER_ID);
}

#[test]
fn a_rebalance_by_hand_concerns_one_group_or_all() {
    let broker = Broker::start(BrokerConfig::default()).unwrap();
    let mut client = Client::of(&broker);
    let (a, b) = (client.join("a"), client.join("b"));
    assert_eq!(broker.rebalance(Some("a")), 1);
    assert_eq!(client.heartbeat("a", &a), REBALANCE_IN_PROGRESS);
    assert_eq!(client.heartbeat("b", &b), 0);
    assert_eq!(broker.rebalance(None), 2);
    assert_eq!(client.heartbeat("b", &b), REBALANCE_IN_PROGRESS);
    assert_eq!(broker.rebalance(Some("no such group")), 0);
}

#[test]
fn members_that_the_broker_assigns_to_are_excused_as_well() {
    let clock = Clock::standing_at(1_700_000_000_000);
    let config = BrokerConfig { clock: clock.clone(), ..BrokerConfig::default() };
    let broker = Broker::start(config).unwrap();
    let (mut here, mut gone) = (Client::of(&broker), Client::of(&broker));
    here.create_topic();
    assert_eq!(here.consumer("g", "here", 0), (0, 1, Some(4)));
    assert_eq!(gone.consumer("g", "gone", 0), (0, 2, Some(0)));
    for _ in 0..10 {
        clock.advance(Duration::from_secs(600));
        assert_eq!(here.consumer("other", "nobody", 1).0, GROUP_ID_NOT_FOUND);
    }
    assert_eq!(gone.consumer("g", "gone", 2), (0, 2, None));
    drop(gone);
    clock.advance(Duration::from_secs(600));
    // The broker itself is asked: a heartbeat of `here` before the other is out would be told to
    // give two partitions up first.
    wait_until("the member without a connection is out", || {
        broker.groups()["g"].members.len() == 1
    });
    assert_eq!(here.consumer("g", "here", 1), (0, 3, None));
    assert_eq!(here.consumer("g", "gone", 2).0, UNKNOWN_MEMBER_ID);
}

#[test]
fn members_that_the_broker_assigns_to_go_on_after_it_was_killed() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config =
        |dir: &Path| BrokerConfig { data_dir: Some(dir.into()), ..BrokerConfig::default() };
    let broker = Broker::start(config(before.path())).unwrap();
    let mut client = Client::of(&broker);
    client.create_topic();
    assert_eq!(client.consumer("g", "a", 0), (0, 1, Some(4)));
    assert_eq!(client.consumer("left", "b", 0), (0, 1, Some(4)));
    assert_eq!(client.consumer("left", "b", -1).0, 0);
    for _ in 0..100 {
        assert_eq!(client.consumer("g", "a", 1), (0, 1, None));
    }
    let journal = fs::metadata(before.path().join("journal")).unwrap().len();
    assert!(journal < 10_000, "{journal} bytes: heartbeats that change nothing are not written");
    copy(before.path(), after.path());
    broker.stop();

    let broker = Broker::start(config(after.path())).unwrap();
    let mut client = Client::of(&broker);
    assert_eq!(client.consumer("g", "a", 1), (0, 1, None));
    assert_eq!(client.consumer("left", "b", 1).0, UNKNOWN_MEMBER_ID);
    assert_eq!(client.consumer("left", "c", 0), (0, 3, Some(4)), "epochs go on");
}
