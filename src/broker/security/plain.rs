//! The message of SASL PLAIN (RFC 4616): three texts with zero bytes between.

/// What a client says of itself.
#[derive(PartialEq, Eq)]
pub(crate) struct PlainLogin<'a> {
    /// The user.
    pub(crate) user: &'a str,
    /// The password.
    pub(crate) password: &'a [u8],
}

impl<'a> PlainLogin<'a> {
    /// Reads the message; an error is for the client to see.
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, String> {
        let parts: Vec<&[u8]> = message.split(|byte| *byte == 0).collect();
        let [authorization_id, user, password] = parts[..] else {
            let got = parts.len();
            return Err(format!("Invalid SASL/PLAIN response: expected 3 tokens, got {got}"));
        };
        let failed = |reason: &str| Err(format!("Authentication failed: {reason}"));
        let Ok(user) = std::str::from_utf8(user) else { return failed("username is not UTF-8") };
        if user.is_empty() {
            return failed("username not specified");
        }
        if password.is_empty() {
            return failed("password not specified");
        }
        if !authorization_id.is_empty() && authorization_id != user.as_bytes() {
            return failed("Client requested an authorization id that is different from username");
        }
        Ok(Self { user, password })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_has_a_user_and_a_password() {
        for message in [&b"\0ada\0secret"[..], b"ada\0ada\0secret"] {
            let login = PlainLogin::parse(message).map_err(drop).unwrap();
            assert_eq!((login.user, login.password), ("ada", &b"secret"[..]));
        }
    }

    #[test]
    fn whatever_else_is_refused_with_a_reason_that_tells_no_password() {
        for message in [
            &b""[..],
            b"ada\0secret",
            b"\0\0secret",
            b"\0ada\0",
            b"bob\0ada\0secret",
            b"\0ada\0secret\0",
            b"\0\xff\0secret",
        ] {
            let Err(reason) = PlainLogin::parse(message) else { panic!("{message:?}") };
            assert!(!reason.contains("secret"), "{reason}");
        }
    }
}
