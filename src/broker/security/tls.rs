//! TLS: certificates from files, or made for the occasion.

use crate::error::{Error, Result};
use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod, SslVerifyMode, SslVersion},
    x509::{
        X509, X509Builder, X509Name, X509NameRef,
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName},
        store::X509StoreBuilder,
    },
};
use std::{net::IpAddr, path::PathBuf};

/// How long certificates that are made here are good for.
const DAYS: u32 = 365;

/// Where the certificate of a broker comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Made at each start, for the hosts that clients are told and for loopback, and signed by an
    /// authority that is made as well: [`crate::broker::Broker::ca_certificate`].
    SelfSigned {
        /// Clients must show a certificate of that authority; one is made for them too:
        /// [`crate::broker::Broker::client_certificate`].
        verify_clients: bool,
    },
    /// Files in PEM format.
    Files {
        /// Certificate of the broker, and those between it and its authority.
        certificate: PathBuf,
        /// Its key, without a password.
        key: PathBuf,
        /// Certificates of the authorities of clients. If it is given, clients must show a
        /// certificate.
        client_ca: Option<PathBuf>,
    },
}

/// What encrypts connections.
pub(crate) struct Encryption {
    acceptor: SslAcceptor,
    /// What was made for clients.
    pub(crate) made: Option<Made>,
}

/// What clients need of certificates that were made here; PEM.
pub(crate) struct Made {
    /// Certificate of the authority.
    pub(crate) ca: String,
    /// Certificate and key of a client, where clients must show one.
    pub(crate) client: Option<(String, String)>,
}

impl Encryption {
    /// Reads or makes the certificates of a broker that clients know under `hosts`.
    pub(crate) fn new(tls: &Tls, hosts: &[&str]) -> Result<Self> {
        match tls {
            Tls::SelfSigned { verify_clients } => Self::self_signed(*verify_clients, hosts)
                .map_err(|e| Error::Config(format!("cannot make certificates: {e}"))),
            Tls::Files { certificate, key, client_ca } => {
                let wrong = |what: &str, path: &PathBuf, e: &ErrorStack| {
                    Error::Config(format!("{what} {}: {e}", path.display()))
                };
                let failed = |e: ErrorStack| Error::Config(format!("TLS: {e}"));
                let mut builder = builder().map_err(failed)?;
                builder
                    .set_certificate_chain_file(certificate)
                    .map_err(|e| wrong("certificate", certificate, &e))?;
                builder
                    .set_private_key_file(key, SslFiletype::PEM)
                    .map_err(|e| wrong("key", key, &e))?;
                builder.check_private_key().map_err(|e| wrong("key", key, &e))?;
                if let Some(ca) = client_ca {
                    builder.set_ca_file(ca).map_err(|e| wrong("client CA", ca, &e))?;
                    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
                }
                Ok(Self { acceptor: builder.build(), made: None })
            }
        }
    }

    fn self_signed(verify_clients: bool, hosts: &[&str]) -> Result<Self, ErrorStack> {
        let authority = Authority::new()?;
        let (certificate, key) = authority.issue(&Subject::Server(hosts))?;
        let mut builder = builder()?;
        builder.set_certificate(&certificate)?;
        builder.set_private_key(&key)?;
        let mut client = None;
        if verify_clients {
            let mut store = X509StoreBuilder::new()?;
            store.add_cert(authority.certificate.clone())?;
            builder.set_verify_cert_store(store.build())?;
            builder.add_client_ca(&authority.certificate)?;
            builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
            let (certificate, key) = authority.issue(&Subject::Client)?;
            client = Some((pem(certificate.to_pem()?), pem(key.private_key_to_pem_pkcs8()?)));
        }
        let ca = pem(authority.certificate.to_pem()?);
        Ok(Self { acceptor: builder.build(), made: Some(Made { ca, client }) })
    }

    /// For one connection.
    pub(crate) fn connection(&self) -> Result<Ssl, ErrorStack> {
        Ssl::new(self.acceptor.context())
    }
}

fn builder() -> Result<openssl::ssl::SslAcceptorBuilder, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    // Every connection is verified anew.
    builder.set_session_id_context(b"turbine")?;
    Ok(builder)
}

fn pem(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("PEM is ASCII")
}

/// Whom a certificate is for.
enum Subject<'a> {
    Authority,
    Server(&'a [&'a str]),
    Client,
}

/// Signs certificates.
struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl Authority {
    fn new() -> Result<Self, ErrorStack> {
        let key = new_key()?;
        let name = name("Turbine embedded broker CA")?;
        let mut builder = start(&name, &name, &key)?;
        add_extensions(&mut builder, &Subject::Authority)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self { certificate: builder.build(), key })
    }

    fn issue(&self, subject: &Subject<'_>) -> Result<(X509, PKey<Private>), ErrorStack> {
        let key = new_key()?;
        let common = if matches!(subject, Subject::Client) { "client" } else { "broker" };
        let mut builder = start(&*name(common)?, self.certificate.subject_name(), &key)?;
        add_extensions(&mut builder, subject)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok((builder.build(), key))
    }
}

fn new_key() -> Result<PKey<Private>, ErrorStack> {
    PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?)
}

fn name(common: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, common)?;
    Ok(name.build())
}

fn start(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    key: &PKey<Private>,
) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(DAYS)?)?;
    Ok(builder)
}

fn add_extensions(builder: &mut X509Builder, subject: &Subject<'_>) -> Result<(), ErrorStack> {
    let mut usage = KeyUsage::new();
    usage.critical();
    match subject {
        Subject::Authority => {
            builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
            usage.key_cert_sign().crl_sign();
        }
        Subject::Client => {
            builder.append_extension(ExtendedKeyUsage::new().client_auth().build()?)?;
            usage.digital_signature();
        }
        Subject::Server(hosts) => {
            builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
            usage.digital_signature();
            let mut names = SubjectAlternativeName::new();
            for host in ["localhost", "127.0.0.1", "::1"].iter().chain(*hosts) {
                let is_ip = host.parse::<IpAddr>().is_ok();
                if is_ip {
                    names.ip(host)
                } else {
                    names.dns(host)
                };
            }
            let extension = names.build(&builder.x509v3_context(None, None))?;
            builder.append_extension(extension)?;
        }
    }
    builder.append_extension(usage.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::x509::X509VerifyResult;

    #[test]
    fn the_authority_vouches_for_broker_and_client() {
        let authority = Authority::new().unwrap();
        for subject in [Subject::Server(&["kafka.test", "10.0.0.1"]), Subject::Client] {
            let (certificate, key) = authority.issue(&subject).unwrap();
            assert_eq!(authority.certificate.issued(&certificate), X509VerifyResult::OK);
            assert!(certificate.verify(&authority.key).unwrap());
            assert!(certificate.public_key().unwrap().public_eq(&key));
        }
    }

    #[test]
    fn files_that_are_not_there_are_named() {
        let tls =
            Tls::Files { certificate: "/no/such.pem".into(), key: "k".into(), client_ca: None };
        let Err(Error::Config(message)) = Encryption::new(&tls, &[]) else { panic!("no error") };
        assert!(message.starts_with("certificate /no/such.pem: "), "{message}");
    }
}
