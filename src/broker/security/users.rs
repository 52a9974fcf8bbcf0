//! The users of a broker and what is known of their passwords.

use super::{Credential, Mechanism, PlainLogin, ScramHash, Secret, Security};
use crate::error::{Error, Result};
use parking_lot::RwLock;
use std::collections::BTreeMap;

type Credentials = BTreeMap<ScramHash, Credential>;

/// Users and passwords. Those of SCRAM may change while the broker runs.
pub(crate) struct Users {
    passwords: BTreeMap<String, Secret>,
    credentials: RwLock<BTreeMap<String, Credentials>>,
}

impl Mechanism {
    /// The hash, if it is a SCRAM mechanism.
    pub(crate) fn scram_hash(self) -> Option<ScramHash> {
        match self {
            Self::Plain => None,
            Self::ScramSha256 => Some(ScramHash::Sha256),
            Self::ScramSha512 => Some(ScramHash::Sha512),
        }
    }
}

impl Users {
    /// The users that the broker starts with.
    pub(crate) fn new(security: &Security) -> Result<Self> {
        let mut credentials = BTreeMap::new();
        for (user, password) in &security.users {
            let of_user: &mut Credentials = credentials.entry(user.clone()).or_default();
            for hash in security.mechanisms.iter().filter_map(|m| m.scram_hash()) {
                let credential = Credential::of_password(hash, password.bytes())
                    .map_err(|_| Error::Config(format!("cannot salt the password of {user}")))?;
                of_user.insert(hash, credential);
            }
        }
        Ok(Self { passwords: security.users.clone(), credentials: RwLock::new(credentials) })
    }

    /// True if the password is right.
    pub(crate) fn knows(&self, login: &PlainLogin<'_>) -> bool {
        // A user that there is not takes as long as one that there is.
        let nobody = Secret::new("");
        let password = self.passwords.get(login.user);
        password.unwrap_or(&nobody).is(login.password) && password.is_some()
    }

    /// What proves the password of a user.
    pub(crate) fn credential(&self, user: &str, hash: ScramHash) -> Option<Credential> {
        self.credentials.read().get(user)?.get(&hash).cloned()
    }

    /// Hashes and iterations of a user's credentials; `None` if it has none.
    pub(crate) fn describe(&self, user: &str) -> Option<Vec<(ScramHash, u32)>> {
        let credentials = self.credentials.read();
        let found = credentials.get(user).filter(|found| !found.is_empty())?;
        Some(found.iter().map(|(hash, credential)| (*hash, credential.iterations())).collect())
    }

    /// Everybody with credentials.
    pub(crate) fn names(&self) -> Vec<String> {
        let credentials = self.credentials.read();
        credentials.iter().filter(|(_, c)| !c.is_empty()).map(|(name, _)| name.clone()).collect()
    }

    /// Changes a user's credential of one kind; `None` takes it away.
    pub(crate) fn change(&self, user: &str, hash: ScramHash, credential: Option<Credential>) {
        let mut credentials = self.credentials.write();
        let of_user = credentials.entry(user.to_owned()).or_default();
        match credential {
            Some(credential) => drop(of_user.insert(hash, credential)),
            None => drop(of_user.remove(&hash)),
        }
        if of_user.is_empty() {
            credentials.remove(user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        let users = BTreeMap::from([("ada".to_owned(), Secret::new("secret"))]);
        Users::new(&Security { users, ..Security::default() }).unwrap()
    }

    #[test]
    fn a_password_is_right_for_its_user_only() {
        let users = users();
        let knows = |user, password| users.knows(&PlainLogin { user, password });
        assert!(knows("ada", b"secret"));
        assert!(!knows("ada", b"Secret") && !knows("bob", b"secret") && !knows("bob", b""));
    }

    #[test]
    fn credentials_come_and_go() {
        let users = users();
        assert_eq!(users.describe("ada").unwrap().len(), 2);
        users.change("ada", ScramHash::Sha256, None);
        assert_eq!(users.describe("ada"), Some(vec![(ScramHash::Sha512, Credential::ITERATIONS)]));
        assert!(users.credential("ada", ScramHash::Sha256).is_none());
        users.change("ada", ScramHash::Sha512, None);
        assert!(users.describe("ada").is_none() && users.names().is_empty());
    }

    #[test]
    fn passwords_are_not_printed() {
        let users = BTreeMap::from([("ada".to_owned(), Secret::new("hush"))]);
        let printed = format!("{:?}", Security { users, ..Security::default() });
        assert!(printed.contains("ada") && !printed.contains("hush"), "{printed}");
    }
}
