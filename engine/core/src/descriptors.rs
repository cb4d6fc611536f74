//! Room for clients: the soft limit on open files follows `maxclients`, as in Redis. Most systems
//! give a process 1024 descriptors and let it raise that; where they do not, fewer clients fit: the
//! start says so, and CONFIG SET refuses.

#![allow(unsafe_code)] // getrlimit and setrlimit take a plain structure

use std::io;

use crate::limits::DATA_CONNECTIONS_MAX;

/// Descriptors for everything but Redis clients: doors, gRPC connections, files, pipes, SQLite.
const RESERVED: u64 = 512;

/// Raise the soft limit so that `clients_max` clients fit; give how many do.
pub(crate) fn make_room(clients_max: usize) -> usize {
    let wanted = clients_max as u64 + RESERVED;
    let Ok(limits) = limits() else { return clients_max };
    if limits.rlim_cur >= wanted {
        return clients_max;
    }
    let raised = libc::rlimit { rlim_cur: wanted.min(limits.rlim_max), ..limits };
    let has = if set(&raised).is_ok() { raised.rlim_cur } else { limits.rlim_cur };
    let fitting = has.saturating_sub(RESERVED).max(1);
    clients_max.min(usize::try_from(fitting).unwrap_or(usize::MAX))
}

/// How many connections the data door may have: fewer where the system gives few descriptors.
pub(crate) fn data_connections() -> usize {
    limits().map_or(DATA_CONNECTIONS_MAX, |limits| connections_fitting(limits.rlim_cur))
}

fn connections_fitting(descriptors: u64) -> usize {
    // The rest of what is reserved comes first: without files nothing is durable.
    let others = RESERVED.saturating_sub(DATA_CONNECTIONS_MAX as u64);
    let fitting = usize::try_from(descriptors.saturating_sub(others).max(1));
    fitting.unwrap_or(usize::MAX).min(DATA_CONNECTIONS_MAX)
}

fn limits() -> io::Result<libc::rlimit> {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the structure, which outlives the call.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits) } {
        0 => Ok(limits),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(limits: &libc::rlimit) -> io::Result<()> {
    // SAFETY: the kernel reads the structure, which outlives the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limits) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_leave_room_for_files_beside_connections() {
        assert_eq!(connections_fitting(10_512), DATA_CONNECTIONS_MAX);
        assert_eq!(connections_fitting(512), DATA_CONNECTIONS_MAX);
        assert_eq!(connections_fitting(200), 88);
        assert_eq!(connections_fitting(10), 1);
    }
}
