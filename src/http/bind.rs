//! From [`HttpConfig`] to a listening socket.

use crate::config::HttpConfig;
use crate::error::{Error, Result};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

/// How many ports behind a taken default port are tried.
const TRIES: u16 = 100;

/// A socket, and who may talk to it.
#[derive(Debug)]
pub(super) struct Bound {
    /// Listens already.
    pub(super) listener: TcpListener,
    /// Is it out of reach for other machines?
    pub(super) is_loopback: bool,
}

/// Binds what `config` asks for.
///
/// # Errors
///
/// [`Error::Config`] if the host is unknown, a host beyond loopback has no token, or an explicit port
/// is taken; [`Error::Io`] if the system refuses.
pub(super) fn bind(config: &HttpConfig) -> Result<Bound> {
    let hosts = resolve(&config.host)?;
    let is_loopback = hosts.iter().all(|address| address.ip().is_loopback());
    check_token(config, is_loopback)?;
    let listener = listen(config, &hosts)?;
    Ok(Bound { listener, is_loopback })
}

fn resolve(host: &str) -> Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<_> = match (bare, 0).to_socket_addrs() {
        Ok(addresses) if !bare.is_empty() => addresses.collect(),
        _ => Vec::new(),
    };
    if found.is_empty() {
        return Err(Error::Config(format!(
            "HTTP: the host '{host}' is not an address of this machine; write 127.0.0.1 for \
             this machine only, or 0.0.0.0 with a token for all networks"
        )));
    }
    Ok(found)
}

fn check_token(config: &HttpConfig, is_loopback: bool) -> Result<()> {
    match &config.token {
        Some(token) if token.trim().is_empty() => Err(Error::Config(
            "HTTP: the token is empty; set TURBINE_API_TOKEN to a long random string, or unset it \
             and bind 127.0.0.1"
                .into(),
        )),
        None if !is_loopback => Err(Error::Config(format!(
            "HTTP: '{}' is in reach of other machines and there is no token; set TURBINE_API_TOKEN \
             to a long random string, or bind 127.0.0.1, or switch HTTP off with --without-web",
            config.host
        ))),
        _ => Ok(()),
    }
}

fn listen(config: &HttpConfig, hosts: &[SocketAddr]) -> Result<TcpListener> {
    let at = |port: u16| -> Vec<SocketAddr> {
        hosts.iter().map(|host| SocketAddr::new(host.ip(), port)).collect()
    };
    let wanted = config.port;
    let last =
        if config.port_is_explicit || wanted == 0 { wanted } else { wanted.saturating_add(TRIES) };
    for port in wanted..=last {
        match TcpListener::bind(at(port).as_slice()) {
            Ok(listener) => {
                if port != wanted {
                    tracing::warn!(wanted, port, "HTTP: port {wanted} is taken, using {port}");
                }
                return Ok(listener);
            }
            Err(err) if err.kind() == ErrorKind::AddrInUse => {}
            Err(err) => return Err(Error::io(format!("HTTP: bind {}:{port}", config.host), &err)),
        }
    }
    Err(Error::Config(if config.port_is_explicit {
        format!(
            "HTTP: port {wanted} on {} is taken by another process; give another one with \
             --api-port, or none to take the next free one",
            config.host
        )
    } else {
        format!(
            "HTTP: the ports {wanted} to {last} on {} are all taken; give one with --api-port, \
             or switch HTTP off with --without-web",
            config.host
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(host: &str, port: u16, port_is_explicit: bool) -> HttpConfig {
        HttpConfig { host: host.into(), port, port_is_explicit, token: None }
    }

    fn message(config: &HttpConfig) -> String {
        match bind(config) {
            Err(Error::Config(message)) => message,
            other => panic!("expected a configuration error, got {other:?}"),
        }
    }

    #[test]
    fn port_0_takes_a_free_port() {
        let bound = bind(&config("127.0.0.1", 0, true)).unwrap();
        assert_ne!(bound.listener.local_addr().unwrap().port(), 0);
        assert!(bound.is_loopback);
    }

    #[test]
    fn a_taken_default_port_moves_to_a_later_one() {
        let first = bind(&config("127.0.0.1", 0, true)).unwrap();
        let taken = first.listener.local_addr().unwrap().port();
        let second = bind(&config("127.0.0.1", taken, false)).unwrap();
        assert!(second.listener.local_addr().unwrap().port() > taken);
    }

    #[test]
    fn a_taken_explicit_port_names_the_port_and_the_flag() {
        let first = bind(&config("127.0.0.1", 0, true)).unwrap();
        let taken = first.listener.local_addr().unwrap().port();
        let said = message(&config("127.0.0.1", taken, true));
        assert!(said.contains(&taken.to_string()) && said.contains("--api-port"), "{said}");
    }

    #[test]
    fn beyond_loopback_needs_a_token() {
        for host in ["0.0.0.0", "::", "[::]"] {
            let said = message(&config(host, 0, true));
            assert!(said.contains("TURBINE_API_TOKEN"), "{said}");
        }
        let with = HttpConfig { token: Some("s3cret".into()), ..config("0.0.0.0", 0, true) };
        assert!(!bind(&with).unwrap().is_loopback);
    }

    #[test]
    fn an_empty_token_is_no_token() {
        let with = HttpConfig { token: Some(" ".into()), ..config("127.0.0.1", 0, true) };
        assert!(message(&with).contains("token is empty"));
    }

    #[test]
    fn an_unknown_host_is_named() {
        for host in ["", "no such host"] {
            assert!(message(&config(host, 0, true)).contains("is not an address"));
        }
    }
}
