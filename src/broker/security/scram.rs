//! The broker's side of SCRAM (RFC 5802, RFC 7677): messages in, messages out.
//!
//! ```text
//! client                                    broker
//!   n,,n=user,r=nonce                 ─▶
//!                                     ◀─    r=nonce+more,s=salt,i=iterations
//!   c=biws,r=nonce+more,p=proof       ─▶
//!                                     ◀─    v=signature
//! ```

use openssl::{
    base64, hash, hash::MessageDigest, memcmp, pkcs5::pbkdf2_hmac, pkey::PKey, sign::Signer,
};
use std::fmt;

/// What clients need to hear of a failure: nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl<E: std::error::Error> From<E> for Refused {
    fn from(_: E) -> Self {
        Self
    }
}

/// The hash of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ScramHash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl ScramHash {
    fn digest(self) -> MessageDigest {
        match self {
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha512 => MessageDigest::sha512(),
        }
    }

    fn hash(self, data: &[u8]) -> Result<Vec<u8>, Refused> {
        Ok(hash::hash(self.digest(), data)?.to_vec())
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Result<Vec<u8>, Refused> {
        let key = PKey::hmac(key)?;
        Ok(Signer::new(self.digest(), &key)?.sign_oneshot_to_vec(data)?)
    }
}

/// What is known of a user's password: enough to check a proof, too little to make one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    hash: ScramHash,
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl Credential {
    /// Iterations for passwords that the broker salts itself; the least that is allowed.
    pub(crate) const ITERATIONS: u32 = 4_096;

    /// Of a password.
    pub(crate) fn of_password(hash: ScramHash, password: &[u8]) -> Result<Self, Refused> {
        let mut salt = vec![0; 16];
        openssl::rand::rand_bytes(&mut salt)?;
        let mut salted = vec![0; hash.digest().size()];
        let iterations = Self::ITERATIONS;
        pbkdf2_hmac(password, &salt, iterations as usize, hash.digest(), &mut salted)?;
        Self::of_salted(hash, &salted, salt, iterations)
    }

    /// Of a password that a client has salted.
    pub(crate) fn of_salted(
        hash: ScramHash,
        salted: &[u8],
        salt: Vec<u8>,
        iterations: u32,
    ) -> Result<Self, Refused> {
        let stored_key = hash.hash(&hash.hmac(salted, b"Client Key")?)?;
        let server_key = hash.hmac(salted, b"Server Key")?;
        Ok(Self { hash, salt, iterations, stored_key, server_key })
    }

    /// How often the password was hashed.
    pub(crate) fn iterations(&self) -> u32 {
        self.iterations
    }
}

/// The first message of a client.
pub(crate) struct ClientFirst {
    /// Who it says it is.
    pub(crate) user: String,
    /// Up to and with the second comma.
    header: String,
    /// Behind it.
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// Reads it.
    pub(crate) fn parse(message: &[u8]) -> Result<Self, Refused> {
        let message = std::str::from_utf8(message)?;
        let mut parts = message.splitn(3, ',');
        let (Some("n"), Some(authorization_id), Some(bare)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(Refused);
        };
        let mut attributes = bare.split(',');
        let mut value = |name: &str| attributes.next()?.strip_prefix(name);
        let (Some(user), Some(nonce)) = (value("n="), value("r=")) else { return Err(Refused) };
        let user = unescaped(user)?;
        let as_other = authorization_id.strip_prefix("a=").map(unescaped).transpose()?;
        let speaks_for_itself = match as_other {
            None => authorization_id.is_empty(),
            Some(other) => other == user,
        };
        if user.is_empty() || nonce.is_empty() || !speaks_for_itself {
            return Err(Refused);
        }
        let header = message[..message.len() - bare.len()].to_owned();
        Ok(Self { user, header, bare: bare.to_owned(), nonce: nonce.to_owned() })
    }

    /// What the client has to prove, and the message that says so.
    pub(crate) fn challenge(self, credential: Credential) -> Result<(Exchange, String), Refused> {
        let mut random = [0; 18];
        openssl::rand::rand_bytes(&mut random)?;
        let nonce = format!("{}{}", self.nonce, base64::encode_block(&random));
        let salt = base64::encode_block(&credential.salt);
        let message = format!("r={nonce},s={salt},i={}", credential.iterations);
        let spoken = format!("{},{message}", self.bare);
        let header = self.header;
        Ok((Exchange { header, nonce, spoken, credential }, message))
    }
}

/// Names have no commas and no equals signs.
fn unescaped(name: &str) -> Result<String, Refused> {
    let mut parts = name.split('=');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Refused),
        };
        out.push(sign);
        out.push_str(rest);
    }
    Ok(out)
}

/// The bytes that `text` spells in the only way there is: bits that carry nothing are zero (RFC 4648, section 3.5), or
/// a proof that was changed on its way would pass for the one that was sent.
fn canonical(text: &str) -> Result<Vec<u8>, Refused> {
    let bytes = base64::decode_block(text)?;
    if base64::encode_block(&bytes) == text { Ok(bytes) } else { Err(Refused) }
}

/// A client was told what to prove.
pub(crate) struct Exchange {
    header: String,
    nonce: String,
    /// Both messages so far, without the header.
    spoken: String,
    credential: Credential,
}

impl Exchange {
    /// Checks the proof; the broker's own proof, that it knows the password too.
    pub(crate) fn finish(&self, message: &[u8]) -> Result<String, Refused> {
        let message = std::str::from_utf8(message)?;
        let (unproven, proof) = message.rsplit_once(",p=").ok_or(Refused)?;
        let mut attributes = unproven.split(',');
        let mut value = |name: &str| attributes.next()?.strip_prefix(name);
        let (Some(header), Some(nonce)) = (value("c="), value("r=")) else { return Err(Refused) };
        if canonical(header)? != self.header.as_bytes() || nonce != self.nonce {
            return Err(Refused);
        }
        let Credential { hash, stored_key, server_key, .. } = &self.credential;
        let spoken = format!("{},{unproven}", self.spoken);
        let signature = hash.hmac(stored_key, spoken.as_bytes())?;
        let proof = canonical(proof)?;
        if proof.len() != signature.len() {
            return Err(Refused);
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        if !memcmp::eq(&hash.hash(&client_key)?, stored_key) {
            return Err(Refused);
        }
        let signature = hash.hmac(server_key, spoken.as_bytes())?;
        Ok(format!("v={}", base64::encode_block(&signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn salted(password: &[u8], salt: &[u8], iterations: usize) -> Vec<u8> {
        let mut out = vec![0; 32];
        pbkdf2_hmac(password, salt, iterations, MessageDigest::sha256(), &mut out).unwrap();
        out
    }

    /// The example of RFC 7677.
    fn example() -> Exchange {
        let salt = base64::decode_block("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted(b"pencil", &salt, 4_096);
        let credential = Credential::of_salted(ScramHash::Sha256, &salted, salt, 4_096).unwrap();
        let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").map_err(drop).unwrap();
        assert_eq!(first.user, "user");
        let bare = first.bare.clone();
        let (mut exchange, _) = first.challenge(credential).unwrap();
        exchange.nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into();
        let nonce = &exchange.nonce;
        exchange.spoken = format!("{bare},r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        exchange
    }

    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn the_example_of_the_standard_is_understood() {
        assert_eq!(
            example().finish(FINAL.as_bytes()),
            Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".into())
        );
    }

    #[test]
    fn another_proof_nonce_or_channel_is_refused() {
        for message in [
            FINAL.replace("p=d", "p=e"),
            FINAL.replace("=rO", "=rP"),
            FINAL.replace("biws", "eSws"),
            FINAL.replace("VQ=", ""),
            FINAL.replace("VQ=", "VR="),
            String::new(),
        ] {
            assert_eq!(example().finish(message.as_bytes()), Err(Refused), "{message}");
        }
    }

    #[test]
    fn a_first_message_names_a_user_who_speaks_for_itself() {
        let user = |message: &str| ClientFirst::parse(message.as_bytes()).map(|first| first.user);
        assert_eq!(user("n,,n=a=2Cb=3Dc,r=x"), Ok("a,b=c".into()));
        assert_eq!(user("n,a=ada,n=ada,r=x,tokenauth=true"), Ok("ada".into()));
        for wrong in
            ["", "n,,n=a", "n,,n=,r=x", "n,,n=a,r=", "n,a=b,n=a,r=x", "y,,n=a,r=x", "n,,n=a=,r=x"]
        {
            assert_eq!(user(wrong), Err(Refused), "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_of_a_credential_tells_nothing() {
        let credential = Credential::of_password(ScramHash::Sha512, b"pencil").unwrap();
        assert_eq!(format!("{credential:?}"), "Credential { hash: Sha512, .. }");
    }

    proptest! {
        #[test]
        fn arbitrary_messages_never_panic(message in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = ClientFirst::parse(&message);
            let _ = example_without_work().finish(&message);
        }

        #[test]
        fn damaged_messages_never_panic(at in 0..FINAL.len(), byte in any::<u8>()) {
            let mut message = FINAL.as_bytes().to_vec();
            let before = std::mem::replace(&mut message[at], byte);
            prop_assert!(before == byte || example_without_work().finish(&message).is_err());
        }
    }

    fn example_without_work() -> Exchange {
        static EXAMPLE: std::sync::OnceLock<(Credential, String, String)> =
            std::sync::OnceLock::new();
        let (credential, nonce, spoken) = EXAMPLE
            .get_or_init(|| {
                let Exchange { credential, nonce, spoken, .. } = example();
                (credential, nonce, spoken)
            })
            .clone();
        Exchange { header: "n,,".into(), nonce, spoken, credential }
    }
}
