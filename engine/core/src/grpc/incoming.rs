//! Connections of the data door: accepted up to a bound (which the limit on open files may lower), counted while they are open. They are not
//! among `maxclients`: a probe of health must get in however many Redis clients there are.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::{Connected, TcpConnectInfo, TcpIncoming};

use crate::descriptors;
use crate::state::Shared;

/// After an accept that failed (no descriptors): the connection still waits, and trying at once
/// would spin.
const REST: Duration = Duration::from_millis(50);

/// A connection that is counted until it is dropped.
pub(super) struct Counted {
    socket: TcpStream,
    shared: Arc<Shared>,
}

/// Accept; a connection past the bound is closed at once.
pub(super) fn accept(
    shared: Arc<Shared>,
    incoming: TcpIncoming,
) -> impl Stream<Item = io::Result<Counted>> {
    let rested = incoming.then(|accepted| async {
        if accepted.is_err() {
            tokio::time::sleep(REST).await;
        }
        accepted
    });
    rested.filter_map(move |accepted| match accepted {
        Ok(socket) => {
            let figures = &shared.stats.rpc;
            let counted = Counted { socket, shared: Arc::clone(&shared) };
            if figures.connections.fetch_add(1, Relaxed) >= descriptors::data_connections() as u64 {
                figures.refused_total.fetch_add(1, Relaxed);
                return None;
            }
            figures.accepted_total.fetch_add(1, Relaxed);
            Some(Ok(counted))
        }
        Err(error) => Some(Err(error)),
    })
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.stats.rpc.connections.fetch_sub(1, Relaxed);
    }
}

impl Connected for Counted {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.socket.connect_info()
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
