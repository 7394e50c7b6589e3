//! Tells the service manager how far we are: sd_notify(3), the protocol alone.

use std::io;
use std::os::unix::net::UnixDatagram;

use crate::config::variable;

/// The start is done: connections are taken.
pub const READY: &str = "READY=1";
/// The stop has begun.
pub const STOPPING: &str = "STOPPING=1";

/// Tells it, where there is one that listens.
pub fn tell(state: &str) {
    let Some(address) = variable("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&address, state) {
        tracing::warn!(%error, "the service manager was not told {state}");
    }
}

fn send(address: &str, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = address.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt as _;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(state.as_bytes(), &address).map(drop);
    }
    socket.send_to(state.as_bytes(), address).map(drop)
}
