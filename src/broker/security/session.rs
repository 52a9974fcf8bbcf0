//! Where a connection stands on its way to be trusted.
//!
//! ```text
//! Handshake ──mechanism──▶ Chosen ──PLAIN token, right──────────────────▶ Trusted
//!                            │                                              ▲
//!                            └──SCRAM first──▶ Challenged ──SCRAM final─────┘
//! ```
//!
//! Whatever is wrong leads to `Failed`, and the connection ends.

use super::{ClientFirst, Exchange, Mechanism, PlainLogin, Users};

/// What a client asks for, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// ApiVersions.
    Versions,
    /// SaslHandshake.
    Handshake,
    /// SaslAuthenticate.
    Authenticate,
    /// Something else.
    Other,
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHandshake {
    /// It is over, or there is none here.
    OutOfPlace,
    /// The mechanism is unknown, or not offered.
    Mechanism,
}

/// How far a client has authenticated.
pub(crate) struct Session {
    state: State,
    /// Tokens come without the header of a request, as long as there are any.
    is_bare: bool,
}

enum State {
    Handshake,
    Chosen(Mechanism),
    Challenged(Mechanism, Box<Exchange>),
    Trusted,
    Failed,
}

impl Session {
    /// A new connection.
    pub(crate) fn new(wants_users: bool) -> Self {
        let state = if wants_users { State::Handshake } else { State::Trusted };
        Self { state, is_bare: false }
    }

    /// True if the client may ask for this now; otherwise its connection ends.
    pub(crate) fn admits(&self, ask: Ask) -> bool {
        match self.state {
            State::Trusted => true,
            State::Handshake => matches!(ask, Ask::Versions | Ask::Handshake),
            State::Chosen(_) | State::Challenged(..) => ask == Ask::Authenticate,
            State::Failed => false,
        }
    }

    /// True if what comes next is a token, not a request.
    pub(crate) fn takes_bare_token(&self) -> bool {
        self.is_bare && matches!(self.state, State::Chosen(_) | State::Challenged(..))
    }

    /// True if the connection has to end.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed)
    }

    /// The client wants to authenticate by the mechanism called `name`; `is_bare` is said of the
    /// tokens that follow.
    pub(crate) fn handshake(
        &mut self,
        name: &str,
        offered: &[Mechanism],
        is_bare: bool,
    ) -> Result<(), NoHandshake> {
        if !matches!(self.state, State::Handshake) {
            return Err(NoHandshake::OutOfPlace);
        }
        match Mechanism::find(name).filter(|mechanism| offered.contains(mechanism)) {
            Some(mechanism) => {
                (self.state, self.is_bare) = (State::Chosen(mechanism), is_bare);
                Ok(())
            }
            None => {
                self.state = State::Failed;
                Err(NoHandshake::Mechanism)
            }
        }
    }

    /// A token of the client: the broker's token, or what to tell the client of its failure. `None`
    /// if no token is expected.
    pub(crate) fn token(&mut self, token: &[u8], users: &Users) -> Option<Result<Vec<u8>, String>> {
        let state = std::mem::replace(&mut self.state, State::Failed);
        let (next, answer) = match state {
            State::Chosen(mechanism) => match mechanism.scram_hash() {
                None => match PlainLogin::parse(token) {
                    Ok(login) if users.knows(&login) => (State::Trusted, Ok(Vec::new())),
                    Ok(_) => {
                        let message = "Authentication failed: Invalid username or password";
                        (State::Failed, Err(message.to_owned()))
                    }
                    Err(message) => (State::Failed, Err(message)),
                },
                Some(hash) => {
                    let challenged = ClientFirst::parse(token).ok().and_then(|first| {
                        let credential = users.credential(&first.user, hash)?;
                        first.challenge(credential).ok()
                    });
                    match challenged {
                        Some((exchange, answer)) => {
                            let next = State::Challenged(mechanism, Box::new(exchange));
                            (next, Ok(answer.into_bytes()))
                        }
                        None => (State::Failed, Err(invalid(mechanism))),
                    }
                }
            },
            State::Challenged(mechanism, exchange) => match exchange.finish(token) {
                Ok(answer) => (State::Trusted, Ok(answer.into_bytes())),
                Err(_) => (State::Failed, Err(invalid(mechanism))),
            },
            other => {
                self.state = other;
                return None;
            }
        };
        self.state = next;
        Some(answer)
    }
}

/// Tells nothing of what was wrong, be it the user or the password.
fn invalid(mechanism: Mechanism) -> String {
    format!(
        "Authentication failed during authentication due to invalid credentials with SASL mechanism \
         {}",
        mechanism.name()
    )
}

#[cfg(test)]
mod tests {
    use super::{super::Security, *};
    use crate::broker::security::Secret;

    const ALL: &[Mechanism] = &Mechanism::ALL;

    fn users() -> Users {
        let users = [("ada".to_owned(), Secret::new("secret"))].into();
        Users::new(&Security { users, ..Security::default() }).unwrap()
    }

    #[test]
    fn nothing_is_served_in_front_of_a_password() {
        let mut session = Session::new(true);
        assert!(session.admits(Ask::Versions) && session.admits(Ask::Handshake));
        assert!(!session.admits(Ask::Other) && !session.admits(Ask::Authenticate));
        assert!(session.token(b"\0ada\0secret", &users()).is_none(), "no handshake yet");
        session.handshake("PLAIN", ALL, false).unwrap();
        assert!(session.admits(Ask::Authenticate) && !session.takes_bare_token());
        assert!(!session.admits(Ask::Other) && !session.admits(Ask::Versions));
        assert_eq!(session.token(b"\0ada\0secret", &users()), Some(Ok(Vec::new())));
        assert!(session.admits(Ask::Other) && !session.has_failed());
        assert_eq!(session.handshake("PLAIN", ALL, false), Err(NoHandshake::OutOfPlace));
        assert!(session.token(b"\0ada\0secret", &users()).is_none());
    }

    #[test]
    fn one_wrong_word_ends_it() {
        for token in [&b"\0ada\0wrong"[..], b"\0bob\0secret", b"", b"\0ada\0"] {
            let mut session = Session::new(true);
            session.handshake("PLAIN", ALL, true).unwrap();
            assert!(session.takes_bare_token());
            assert!(session.token(token, &users()).unwrap().is_err());
            assert!(session.has_failed() && !session.admits(Ask::Handshake));
        }
        let mut session = Session::new(true);
        let only = [Mechanism::ScramSha256];
        assert_eq!(session.handshake("PLAIN", &only, false), Err(NoHandshake::Mechanism));
        assert!(session.has_failed());
        let mut session = Session::new(true);
        session.handshake("SCRAM-SHA-512", ALL, false).unwrap();
        let answer = session.token(b"n,,n=ada,r=abc", &users()).unwrap().unwrap();
        assert!(answer.starts_with(b"r=abc"));
        let refused = session.token(b"c=biws,r=abc,p=AAAA", &users()).unwrap().unwrap_err();
        assert!(refused.ends_with("SCRAM-SHA-512"), "{refused}");
        assert!(session.has_failed());
    }

    #[test]
    fn where_nobody_has_a_password_everybody_is_served() {
        let session = Session::new(false);
        assert!(session.admits(Ask::Other));
    }
}
