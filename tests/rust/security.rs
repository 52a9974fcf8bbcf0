//! Clients that have to prove who they are, and that nobody is to overhear.

use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use turbine::{
    broker::{Broker, BrokerConfig, Mechanism, Secret, Security, Tls},
    error::Error,
};

const TIMEOUT: Duration = Duration::from_secs(20);

fn start(security: Security) -> Broker {
    Broker::start(BrokerConfig { security, ..BrokerConfig::default() }).unwrap()
}

fn ada() -> Security {
    let users = [("ada".to_owned(), Secret::new("sesame, open"))].into();
    Security { users, ..Security::default() }
}

fn tls(verify_clients: bool) -> Security {
    let tls = Some(Tls::SelfSigned { verify_clients });
    Security { tls, ..Security::default() }
}

fn client(broker: &Broker, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).set_log_level(RDKafkaLogLevel::Emerg);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config
}

/// Keeps what librdkafka says is wrong.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<String>>>);

impl ClientContext for Errors {
    fn error(&self, error: KafkaError, reason: &str) {
        self.0.lock().unwrap().push(format!("{error}: {reason}"));
    }
}

impl ConsumerContext for Errors {}

/// Writes a record and sees it in the log.
fn works(broker: &Broker, settings: &[(&str, &str)]) {
    let producer: BaseProducer = client(broker, settings).create().unwrap();
    let record = BaseRecord::<str, str>::to("t").payload("x").partition(0);
    producer.send(record).map_err(|(e, _)| e).unwrap();
    producer.flush(TIMEOUT).unwrap_or_else(|e| panic!("{settings:?}: {e}"));
    let consumer: BaseConsumer = client(broker, settings).create().unwrap();
    assert!(consumer.fetch_watermarks("t", 0, TIMEOUT).unwrap().1 > 0);
}

/// The error that a client reports which cannot get in.
fn fails(broker: &Broker, settings: &[(&str, &str)]) -> String {
    let errors = Errors::default();
    let consumer: BaseConsumer<Errors> =
        client(broker, settings).create_with_context(errors.clone()).unwrap();
    let end = Instant::now() + TIMEOUT;
    loop {
        assert!(Instant::now() < end, "{settings:?}: no error");
        let found = consumer.fetch_metadata(None, Duration::from_millis(100));
        assert!(found.is_err(), "{settings:?}: it gets in");
        drop(consumer.poll(Duration::ZERO));
        let errors = errors.0.lock().unwrap();
        if let Some(error) = errors.iter().find(|error| !error.contains("AllBrokersDown")) {
            return error.clone();
        }
    }
}

/// Where there is no answer, a client only sees that connections close.
fn stays_outside(broker: &Broker, settings: &[(&str, &str)]) {
    let consumer: BaseConsumer = client(broker, settings).create().unwrap();
    assert!(consumer.fetch_metadata(None, Duration::from_millis(500)).is_err(), "it gets in");
}

fn sasl<'a>(
    protocol: &'a str,
    mechanism: &'a str,
    user: &'a str,
    password: &'a str,
) -> Vec<(&'a str, &'a str)> {
    vec![
        ("security.protocol", protocol),
        ("sasl.mechanism", mechanism),
        ("sasl.username", user),
        ("sasl.password", password),
    ]
}

#[test]
fn users_get_in_with_their_password_by_every_mechanism() {
    let broker = start(ada());
    for mechanism in Mechanism::ALL {
        works(&broker, &sasl("sasl_plaintext", mechanism.name(), "ada", "sesame, open"));
    }
}

#[test]
fn wrong_users_and_passwords_stay_outside_and_learn_why() {
    let broker = start(ada());
    for mechanism in Mechanism::ALL {
        for (user, password) in [("ada", "sesame"), ("bob", "sesame, open")] {
            let error = fails(&broker, &sasl("sasl_plaintext", mechanism.name(), user, password));
            assert!(error.contains("Authentication fail"), "{error}");
            assert!(!error.contains("open"), "{error}");
        }
    }
    let security = Security { mechanisms: vec![Mechanism::ScramSha512], ..ada() };
    let broker = start(security);
    let error = fails(&broker, &sasl("sasl_plaintext", "PLAIN", "ada", "sesame, open"));
    assert!(error.contains("SCRAM-SHA-512"), "what is offered is named: {error}");
    stays_outside(&broker, &[("security.protocol", "plaintext")]);
}

#[test]
fn encrypted_clients_trust_the_authority_that_the_broker_names() {
    let broker = start(tls(false));
    let ca = broker.ca_certificate().unwrap();
    let trusting = [("security.protocol", "ssl"), ("ssl.ca.pem", ca)];
    works(&broker, &trusting);
    let error = fails(&broker, &[("security.protocol", "ssl")]);
    assert!(error.contains("certificate"), "{error}");
    stays_outside(&broker, &[("security.protocol", "plaintext")]);
    let other = start(tls(false));
    let error = fails(&other, &trusting);
    assert!(error.contains("certificate"), "another broker has another authority: {error}");
    assert!(start(Security::default()).ca_certificate().is_none());
}

#[test]
fn passwords_travel_encrypted_too() {
    let broker = start(Security { tls: Some(Tls::SelfSigned { verify_clients: false }), ..ada() });
    for mechanism in Mechanism::ALL {
        let mut settings = sasl("sasl_ssl", mechanism.name(), "ada", "sesame, open");
        settings.push(("ssl.ca.pem", broker.ca_certificate().unwrap()));
        works(&broker, &settings);
    }
    let mut settings = sasl("sasl_ssl", "PLAIN", "ada", "wrong");
    settings.push(("ssl.ca.pem", broker.ca_certificate().unwrap()));
    let error = fails(&broker, &settings);
    assert!(error.contains("Invalid username or password"), "{error}");
}

#[test]
fn clients_may_have_to_show_a_certificate() {
    let broker = start(tls(true));
    let ca = broker.ca_certificate().unwrap();
    let (certificate, key) = broker.client_certificate().unwrap();
    let mut settings = vec![("security.protocol", "ssl"), ("ssl.ca.pem", ca)];
    fails(&broker, &settings);
    let stranger = start(tls(true));
    let (their_certificate, their_key) = stranger.client_certificate().unwrap();
    let mut wrong = settings.clone();
    wrong.extend([("ssl.certificate.pem", their_certificate), ("ssl.key.pem", their_key)]);
    fails(&broker, &wrong);
    settings.extend([("ssl.certificate.pem", certificate), ("ssl.key.pem", key)]);
    works(&broker, &settings);
}

#[test]
fn certificates_come_from_files() {
    let maker = start(tls(true));
    let (certificate, key) = maker.client_certificate().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let files = Tls::Files {
        certificate: write("certificate.pem", certificate),
        key: write("key.pem", key),
        client_ca: Some(write("ca.pem", maker.ca_certificate().unwrap())),
    };
    let broker = start(Security { tls: Some(files), ..Security::default() });
    assert!(broker.ca_certificate().is_none() && broker.client_certificate().is_none());
    // The certificate is a client's: its purpose and name are wrong, its key is right.
    let settings = [
        ("security.protocol", "ssl"),
        ("enable.ssl.certificate.verification", "false"),
        ("ssl.certificate.pem", certificate),
        ("ssl.key.pem", key),
    ];
    works(&broker, &settings);

    let wrong = Tls::Files {
        certificate: write("certificate.pem", certificate),
        key: write("key.pem", "no key"),
        client_ca: None,
    };
    let security = Security { tls: Some(wrong), ..Security::default() };
    let refused = Broker::start(BrokerConfig { security, ..BrokerConfig::default() });
    let Err(Error::Config(message)) = refused else { panic!("it starts") };
    assert!(message.starts_with("key ") && message.contains("key.pem"), "{message}");
}

/// Sends a frame; what comes back, if the connection stays open.
fn ask(socket: &mut TcpStream, frame: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(frame);
    socket.write_all(&bytes).unwrap();
    let mut length = [0; 4];
    socket.read_exact(&mut length).ok()?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut answer).unwrap();
    Some(answer)
}

fn connect(broker: &Broker) -> TcpStream {
    let socket = TcpStream::connect(broker.address()).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

const METADATA: &[u8] = b"\0\x03\0\x01\0\0\0\x07\xff\xff\0\0\0\0";
const HANDSHAKE_0: &[u8] = b"\0\x11\0\0\0\0\0\x07\xff\xff\0\x05PLAIN";
const HANDSHAKE_1: &[u8] = b"\0\x11\0\x01\0\0\0\x07\xff\xff\0\x05PLAIN";
const VERSIONS: &[u8] = b"\0\x12\0\0\0\0\0\x07\xff\xff";

#[test]
fn only_versions_are_told_before_a_client_has_authenticated() {
    let broker = start(ada());
    assert!(ask(&mut connect(&broker), METADATA).is_none(), "the connection closes");
    let mut socket = connect(&broker);
    assert!(ask(&mut socket, VERSIONS).is_some());
    assert!(ask(&mut socket, HANDSHAKE_1).is_some());
    assert!(ask(&mut socket, METADATA).is_none(), "in the middle of it");
    let long = [METADATA, &[0; 600_000]].concat();
    let mut socket = connect(&broker);
    let _ = socket.write_all(&(long.len() as u32).to_be_bytes());
    assert_eq!(socket.read(&mut [0]).unwrap_or(0), 0, "strangers may not send much");
}

#[test]
fn tokens_of_old_clients_have_no_header() {
    let broker = start(ada());
    let mut socket = connect(&broker);
    let answer = ask(&mut socket, HANDSHAKE_0).unwrap();
    assert_eq!(answer[..6], *b"\0\0\0\x07\0\0");
    assert_eq!(ask(&mut socket, b"\0ada\0sesame, open"), Some(Vec::new()));
    assert!(ask(&mut socket, METADATA).is_some());
    let answer = ask(&mut socket, HANDSHAKE_0).unwrap();
    assert_eq!(answer[4..6], 34i16.to_be_bytes(), "ILLEGAL_SASL_STATE, but the client stays");
    let mut socket = connect(&broker);
    ask(&mut socket, HANDSHAKE_0).unwrap();
    assert!(ask(&mut socket, b"\0ada\0sesame").is_none(), "the connection closes");
}

#[test]
fn users_without_a_mechanism_could_never_get_in() {
    let security = Security { mechanisms: Vec::new(), ..ada() };
    let refused = Broker::start(BrokerConfig { security, ..BrokerConfig::default() });
    assert!(matches!(refused, Err(Error::Config(_))));
}
