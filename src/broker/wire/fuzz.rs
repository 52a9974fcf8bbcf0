//! Whatever bytes arrive, in whatever pieces: the broker answers or closes that connection, and
//! serves every other one as if nothing had been.
//!
//! The long run, a million frames by default, in a process of its own:
//!
//! ```text
//! TURBINE_FUZZ_CASES=1000000 cargo test --release --lib broker::wire::fuzz -- --ignored --nocapture
//! ```

use super::tests::{broker, frame, requests, serve_in};
use crate::broker::{Broker, BrokerConfig, log::BatchHeader, log::testing::BatchBuilder};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiKey, FetchRequest, ProduceRequest, ResponseHeader, fetch_response::FetchResponse,
    },
    protocol::{Decodable, Encodable, StrBytes},
};
use proptest::{
    prelude::*,
    sample::Index,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

/// Frames after which a broker has collected enough nonsense to be replaced.
const FRAMES_A_BROKER: usize = 5_000;

/// One way to spoil a frame.
#[derive(Clone, Debug)]
enum Damage {
    /// A byte is another one.
    Byte(Index, u8),
    /// Two, four or eight bytes are a number that programs stumble over.
    Number(Index, u8, i64),
    /// The frame ends early.
    Cut(Index),
    /// Some bytes are missing.
    Remove(Index, u8),
    /// Some bytes are there twice.
    Repeat(Index, u8),
    /// Bytes that nobody knows stand in between.
    Insert(Index, Vec<u8>),
    /// The rest is that of another request.
    Splice(Index, Index, Index),
    /// The request says that it is of another version.
    Version(i8),
    /// The request says that it is of another kind.
    Kind(Index),
    /// A batch in it has other fields or records, and a checksum that agrees.
    Batch(Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let number = prop_oneof![
        Just(0),
        Just(-1),
        Just(i64::MAX),
        Just(i64::MIN),
        Just(i64::from(i32::MAX)),
        Just(i64::from(i32::MIN)),
        Just(i64::from(i16::MAX)),
        Just(-2),
        Just(1 << 20),
    ];
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, with)| Damage::Byte(at, with)),
        3 => (at(), 1u8..4, number).prop_map(|(at, width, n)| Damage::Number(at, 1 << width, n)),
        1 => at().prop_map(Damage::Cut),
        1 => (at(), 1u8..20).prop_map(|(at, count)| Damage::Remove(at, count)),
        1 => (at(), 1u8..60).prop_map(|(at, count)| Damage::Repeat(at, count)),
        1 => (at(), proptest::collection::vec(any::<u8>(), 1..12))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (at(), at(), at()).prop_map(|(at, which, from)| Damage::Splice(at, which, from)),
        1 => any::<i8>().prop_map(Damage::Version),
        1 => at().prop_map(Damage::Kind),
        2 => (at(), any::<u8>()).prop_map(|(at, with)| Damage::Batch(at, with)),
    ]
}

/// Any bytes, or a request that some client could send, spoiled in one to five ways.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let spoiled =
        (any::<Index>(), proptest::collection::vec(damage(), 1..6)).prop_map(|(which, damages)| {
            let (key, version, body) = which.get(requests());
            let mut bytes = frame(*key, *version, body).to_vec();
            damages.iter().for_each(|damage| damage.spoil(&mut bytes));
            bytes
        });
    let arbitrary = proptest::collection::vec(any::<u8>(), 0..200);
    prop_oneof![15 => spoiled, 1 => arbitrary]
}

impl Damage {
    fn spoil(&self, frame: &mut Vec<u8>) {
        if frame.is_empty() {
            return;
        }
        let end = frame.len();
        match self {
            Self::Byte(at, with) => frame[at.index(end)] = *with,
            Self::Number(at, width, number) => {
                let bytes = number.to_be_bytes();
                let at = at.index(end);
                let width = usize::from(*width).min(end - at);
                frame[at..at + width].copy_from_slice(&bytes[8 - width..]);
            }
            Self::Cut(at) => frame.truncate(at.index(end)),
            Self::Remove(at, count) => {
                let at = at.index(end);
                frame.drain(at..end.min(at + usize::from(*count)));
            }
            Self::Repeat(at, count) => {
                let at = at.index(end);
                let piece = frame[at..end.min(at + usize::from(*count))].to_vec();
                frame.splice(at..at, piece);
            }
            Self::Insert(at, bytes) => {
                let at = at.index(end);
                frame.splice(at..at, bytes.iter().copied());
            }
            Self::Splice(at, which, from) => {
                let other = &which.get(requests()).2;
                frame.truncate(at.index(end));
                frame.extend_from_slice(&other[from.index(other.len() + 1)..]);
            }
            Self::Version(by) => put(frame, 2, i16::from(*by).to_be_bytes()),
            Self::Kind(which) => put(frame, 0, (which.get(requests()).0 as i16).to_be_bytes()),
            Self::Batch(at, with) => spoil_batch(frame, *at, *with),
        }
    }
}

fn put<const N: usize>(frame: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(place) = frame.get_mut(at..at + N) {
        place.copy_from_slice(&bytes);
    }
}

/// Changes a byte of the first batch of a frame and makes its checksum agree, so that what lies
/// behind the check is reached.
fn spoil_batch(frame: &mut [u8], at: Index, with: u8) {
    let Some(start) = (0..frame.len()).find(|start| BatchHeader::check(&frame[*start..]).is_ok())
    else {
        return;
    };
    let bytes = BatchHeader::check(&frame[start..]).expect("it was found").bytes;
    let batch = &mut frame[start..start + bytes];
    batch[21 + at.index(bytes - 21)] = with;
    let crc = crc32c::crc32c(&batch[21..]);
    put(batch, 17, crc.to_be_bytes());
}

/// Serves `cases` frames and says how many were answered.
fn run(cases: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config::default());
    let strategy = frames();
    let mut answered = 0;
    let mut shared = broker();
    for case in 0..cases {
        if case % FRAMES_A_BROKER == 0 {
            shared = broker();
        }
        let bytes = strategy.new_tree(&mut runner).unwrap().current();
        let served = std::panic::AssertUnwindSafe(|| {
            serve_in(&runtime, &shared, Bytes::from(bytes.clone()))
        });
        match std::panic::catch_unwind(served) {
            Ok(served) => answered += usize::from(served.is_ok()),
            Err(_) => panic!("case {case}: this frame has caused a panic: {bytes:02x?}"),
        }
        if case % FRAMES_A_BROKER == FRAMES_A_BROKER - 1 || case == cases - 1 {
            assert_serves(&runtime, &shared);
        }
    }
    answered
}

/// A broker that has seen all that still takes a batch and gives it back.
fn assert_serves(runtime: &tokio::runtime::Runtime, shared: &crate::broker::server::Shared) {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let batch = BatchBuilder::new(3).first_timestamp(shared.config.clock.now_ms()).build();
    let topic = "still-here";
    let config = crate::broker::topic_config::TopicConfig::default();
    shared.topics.create(topic, 1, config).unwrap();

    let data = kafka_protocol::messages::produce_request::PartitionProduceData::default()
        .with_records(Some(batch.clone()));
    let data = kafka_protocol::messages::produce_request::TopicProduceData::default()
        .with_name(text(topic).into())
        .with_partition_data(vec![data]);
    let produce = ProduceRequest::default().with_acks(-1).with_topic_data(vec![data]);
    serve_in(runtime, shared, request(ApiKey::Produce, 3, &produce)).unwrap();

    let partition = kafka_protocol::messages::fetch_request::FetchPartition::default()
        .with_partition_max_bytes(1 << 20);
    let wanted = kafka_protocol::messages::fetch_request::FetchTopic::default()
        .with_topic(text(topic).into())
        .with_partitions(vec![partition]);
    let fetch = FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![wanted]);
    let mut out = serve_in(runtime, shared, request(ApiKey::Fetch, 4, &fetch)).unwrap().freeze();
    let mut out = out.split_off(4);
    ResponseHeader::decode(&mut out, 0).unwrap();
    let response = FetchResponse::decode(&mut out, 4).unwrap();
    let got = response.responses[0].partitions[0].records.clone().unwrap();
    assert_eq!(got[16..], batch[16..]);
    shared.topics.delete(topic).unwrap();
}

fn request(key: ApiKey, version: i16, body: &impl Encodable) -> Bytes {
    let mut bytes = BytesMut::new();
    body.encode(&mut bytes, version).unwrap();
    frame(key, version, &bytes)
}

#[test]
fn damaged_frames_are_answered_or_refused() {
    let answered = run(10_000);
    assert!(answered > 1_000, "only {answered} frames came through the first checks");
}

/// A field of `/proc/self/status` in KiB.
fn status_kib(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
#[ignore = "takes minutes; the head of the file says how to run it"]
fn a_million_damaged_frames_are_answered_or_refused() {
    let cases = std::env::var("TURBINE_FUZZ_CASES").ok().and_then(|n| n.parse().ok());
    let cases = cases.unwrap_or(1_000_000);
    let (start, before) = (Instant::now(), status_kib("VmPeak:"));
    let answered = run(cases);
    let grown = before.zip(status_kib("VmPeak:")).map(|(before, after)| (after - before) >> 10);
    println!("{cases} frames in {:?}, {answered} answered, {grown:?} MiB more", start.elapsed());
    assert!(answered > cases / 10);
    assert!(grown.is_none_or(|mib| mib < 1_024), "{grown:?} MiB more address space");
}

// -- through sockets ---------------------------------------------------------------------------

fn connect(address: &str) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Sends a request that is answered at once, and reads its answer.
fn ask(socket: &mut TcpStream) -> Vec<u8> {
    let body = frame(ApiKey::ApiVersions, 0, b"");
    let mut sent = BytesMut::new();
    sent.put_u32(body.len() as u32);
    sent.put_slice(&body);
    socket.write_all(&sent).unwrap();
    let mut length = [0; 4];
    socket.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut answer).unwrap();
    answer
}

/// How a client that sends nonsense parts its bytes and goes away.
#[derive(Clone, Debug)]
struct Manners {
    /// Added to the length in front of the frame.
    wrong_length: i32,
    /// Bytes that are sent at a time.
    piece: usize,
    /// It says that nothing more comes, and reads what is answered.
    reads_on: bool,
}

fn manners() -> impl Strategy<Value = Manners> {
    let wrong = prop_oneof![5 => Just(0), 1 => -40i32..40, 1 => any::<i32>()];
    (wrong, 1usize..300, any::<bool>()).prop_map(|(wrong_length, piece, reads_on)| Manners {
        wrong_length,
        piece,
        reads_on,
    })
}

fn misbehave(address: &str, bytes: &[u8], manners: &Manners) {
    let mut socket = connect(address);
    let length = (bytes.len() as i32).wrapping_add(manners.wrong_length);
    let sent = [&length.to_be_bytes()[..], bytes].concat();
    for piece in sent.chunks(manners.piece) {
        if socket.write_all(piece).is_err() {
            return; // closed already: it has seen enough
        }
    }
    if manners.reads_on && socket.shutdown(Shutdown::Write).is_ok() {
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    }
}

/// Four clients send nonsense, each case on a new connection; a fifth one sees nothing of it.
#[test]
fn bad_connections_disturb_no_other() {
    let broker = Broker::start(BrokerConfig::default()).unwrap();
    let address = broker.address();
    let mut good = connect(&address);
    let expected = ask(&mut good);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let address = address.clone();
            std::thread::spawn(move || {
                let mut runner = TestRunner::new(Config::default());
                let strategy = (frames(), manners());
                for _ in 0..150 {
                    let (bytes, manners) = strategy.new_tree(&mut runner).unwrap().current();
                    misbehave(&address, &bytes, &manners);
                }
            })
        })
        .collect();
    while !clients.iter().all(std::thread::JoinHandle::is_finished) {
        assert_eq!(ask(&mut good), expected);
    }
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(ask(&mut good), expected);
    assert_eq!(ask(&mut connect(&address)), expected, "a new connection is served, too");
}

/// Clients that announce much and send little, or nothing, hold nobody up.
#[test]
fn slow_clients_disturb_no_other() {
    let broker = Broker::start(BrokerConfig::default()).unwrap();
    let address = broker.address();
    let mut good = connect(&address);
    let expected = ask(&mut good);
    let mut slow: Vec<_> = (0..200).map(|_| connect(&address)).collect();
    for (number, socket) in slow.iter_mut().enumerate() {
        let length = (100 << 20) - number as i32;
        socket.write_all(&length.to_be_bytes()).unwrap();
        socket.write_all(&b"slow"[..number % 5]).unwrap();
        assert_eq!(ask(&mut good), expected);
    }
    for socket in &mut slow {
        socket.write_all(b"x").unwrap();
    }
    assert_eq!(ask(&mut good), expected);
}
