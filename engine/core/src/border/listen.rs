//! Binding the doors' listeners, before anything on disk is looked at. An address beyond loopback
//! is refused unless the operator said `--insecure`, since the doors have no keys yet.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::AsRawFd;

use crate::error::{EngineError, Result};

/// Which door, for the error text: its name and the option that moves it.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// Name of the door.
    pub name: &'static str,
    /// The command line option that sets its port.
    pub flag: &'static str,
}

/// The RESP door.
pub const RESP: Door = Door { name: "RESP", flag: "--port" };
/// The data door (gRPC).
pub const DATA: Door = Door { name: "data", flag: "--data-port" };

/// Resolve `bind` (Redis's syntax: `*`, `::*`, a leading `-` for "skip if it is not there") and
/// refuse what is not loopback unless `is_insecure`.
///
/// # Errors
/// `ADDRESS_REFUSED`, `ADDRESS_INVALID`.
pub fn resolve(bind: &[String], is_insecure: bool) -> Result<Vec<(IpAddr, bool)>> {
    let mut resolved = Vec::new();
    for text in bind {
        let (name, is_optional) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text.as_str(), false),
        };
        for address in addresses_of(name)? {
            if !address.is_loopback() && !is_insecure {
                return Err(refused(text, address));
            }
            resolved.push((address, is_optional));
        }
    }
    if resolved.is_empty() {
        return Err(invalid("no address to listen on", ""));
    }
    Ok(resolved)
}

fn addresses_of(name: &str) -> Result<Vec<IpAddr>> {
    match name {
        "*" => return Ok(vec![IpAddr::from([0u8; 4])]),
        "::*" => return Ok(vec![IpAddr::from([0u8; 16])]),
        _ => {}
    }
    let found = (name, 0u16)
        .to_socket_addrs()
        .map_err(|error| invalid(&format!("cannot resolve the address {name:?}: {error}"), name))?;
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.dedup();
    Ok(addresses)
}

fn refused(text: &str, address: IpAddr) -> EngineError {
    EngineError::new(
        "ADDRESS_REFUSED",
        format!("{text} is not a loopback address, and the doors have no keys yet"),
        "Bind to 127.0.0.1 or ::1, or say --insecure if the network is yours.",
    )
    .with("address", address.to_string())
}

fn invalid(message: &str, name: &str) -> EngineError {
    EngineError::new("ADDRESS_INVALID", message, "Give an IP address or a name of this machine.")
        .with("address", name)
}

/// Listen on every address with the same port; port 0 takes a free one at the first address.
///
/// # Errors
/// `ADDRESS_IN_USE` (names address, port and option), `ADDRESS_INVALID`, I/O codes.
pub fn listen(
    door: Door,
    addresses: &[(IpAddr, bool)],
    port: u16,
    backlog: i32,
) -> Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut port = port;
    for (address, is_optional) in addresses {
        let wanted = SocketAddr::new(*address, port);
        match TcpListener::bind(wanted) {
            Ok(listener) => {
                port = listener.local_addr().map_or(port, |bound| bound.port());
                deepen_backlog(&listener, backlog);
                listeners.push(listener);
            }
            Err(error) if *is_optional && error.kind() == ErrorKind::AddrNotAvailable => {}
            Err(error) => return Err(cannot_bind(door, wanted, &error)),
        }
    }
    if listeners.is_empty() {
        return Err(invalid(&format!("no address for the {} door is there", door.name), ""));
    }
    Ok(listeners)
}

/// The port that [`listen`] got.
pub fn port_of(listeners: &[TcpListener]) -> u16 {
    listeners.first().and_then(|first| first.local_addr().ok()).map_or(0, |bound| bound.port())
}

fn cannot_bind(door: Door, wanted: SocketAddr, error: &std::io::Error) -> EngineError {
    let made = match error.kind() {
        ErrorKind::AddrInUse => EngineError::new(
            "ADDRESS_IN_USE",
            format!("the {} door cannot listen on {wanted}: the port is taken", door.name),
            format!("End the process that holds the port, or choose another with {}.", door.flag),
        )
        .retryable(),
        ErrorKind::PermissionDenied => EngineError::new(
            "PERMISSION_DENIED",
            format!("the {} door may not listen on {wanted}", door.name),
            format!("Choose a port above 1023 with {}.", door.flag),
        ),
        _ => EngineError::new(
            "ADDRESS_INVALID",
            format!("the {} door cannot listen on {wanted}: {error}", door.name),
            format!("Check the address (bind) and the port ({}).", door.flag),
        ),
    };
    made.with("address", wanted.ip().to_string())
        .with("port", wanted.port().to_string())
        .with("flag", door.flag)
}

#[allow(unsafe_code)] // std cannot choose the backlog
fn deepen_backlog(listener: &TcpListener, backlog: i32) {
    // SAFETY: plain integers; listening again on a listening socket only changes its backlog.
    unsafe { libc::listen(listener.as_raw_fd(), backlog.max(1)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_address_beyond_loopback_needs_the_word() {
        for name in ["*", "0.0.0.0", "::*", "192.0.2.1", "-192.0.2.1"] {
            let error = resolve(&names(&[name]), false).unwrap_err();
            assert_eq!(error.code, "ADDRESS_REFUSED", "{name}");
            assert!(resolve(&names(&[name]), true).is_ok());
        }
        assert!(resolve(&names(&["127.0.0.1", "::1"]), false).is_ok());
        assert_eq!(resolve(&[], false).unwrap_err().code, "ADDRESS_INVALID");
    }

    #[test]
    fn a_taken_port_is_named_with_its_option() {
        let addresses = resolve(&names(&["127.0.0.1"]), false).unwrap();
        let held = listen(RESP, &addresses, 0, 511).unwrap();
        let error = listen(DATA, &addresses, port_of(&held), 511).unwrap_err();
        assert_eq!(error.code, "ADDRESS_IN_USE");
        assert!(error.context.contains(&("flag", "--data-port".to_owned())));
        assert!(error.context.contains(&("port", port_of(&held).to_string())));
    }

    #[test]
    fn an_optional_address_that_is_not_there_is_skipped() {
        let addresses = resolve(&names(&["127.0.0.1", "-192.0.2.1"]), true).unwrap();
        assert_eq!(listen(RESP, &addresses, 0, 16).unwrap().len(), 1);
    }
}
