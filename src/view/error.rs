//! Why a page cannot be shown.

use std::io;
use std::net::SocketAddr;

/// Why a page cannot be shown: what, where, got, expected.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The address is taken, or not this machine's.
    #[error(
        "cannot show the page at {address}: {source}; expected a free port of this machine, such as 127.0.0.1:8765"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server's thread or the random token could not be had.
    #[error("cannot start the page's server: {0}")]
    Start(#[source] io::Error),
}
