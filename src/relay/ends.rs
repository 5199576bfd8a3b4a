//! Where a message comes from and where it goes, whatever protocol is spoken there.

use std::future::poll_fn;

use crate::fault::Kind;
use crate::net::mux_stream::{MuxStream, kind_of_abort};
use crate::net::socket::HangUp;
use crate::net::stream::{ReadHalf, WriteHalf};

/// Where a message comes from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// A connection, alone.
    H1(ReadHalf<'a>),
    /// A stream of a connection that others share.
    H2(&'a MuxStream),
}

/// Where a message goes.
#[derive(Clone, Copy)]
pub enum Sink<'a> {
    /// A connection, alone.
    H1(WriteHalf<'a>),
    /// A stream of a connection that others share.
    H2(&'a MuxStream),
}

impl Source<'_> {
    /// Waits until its peer has left or ended its direction, without reading from it.
    pub async fn hung_up(&self) -> HangUp {
        match self {
            Self::H1(read) => {
                // Most clients send nothing while they wait, and this is the cheapest way to wait for
                // that; how the wait ended is found out, errors included, once it has.
                let _ = poll_fn(|cx| read.poll_readable(cx)).await;
                // Boxed, since it is rare, and each exchange would have room for it.
                Box::pin(read.hung_up()).await
            }
            // The end of a request is no end of its stream.
            Self::H2(stream) => {
                poll_fn(|cx| stream.poll_aborted(cx)).await;
                HangUp::Gone
            }
        }
    }

    /// How a peer that is gone has gone.
    pub fn parting(&self) -> Kind {
        match self {
            Self::H1(_) => Kind::Reset,
            Self::H2(stream) => stream.aborted().map_or(Kind::Reset, kind_of_abort),
        }
    }

    /// Waits until a peer that has ended its direction is gone.
    pub async fn gone_after_half_close(&self) {
        match self {
            Self::H1(read) => Box::pin(read.gone_after_half_close()).await,
            Self::H2(stream) => {
                poll_fn(|cx| stream.poll_aborted(cx)).await;
            }
        }
    }

    /// Waits until the peer is gone. That it has ended its direction does not count.
    pub async fn gone(&self) {
        match self {
            // Boxed: it is waited for only while a client is not read from.
            Self::H1(read) => Box::pin(read.gone()).await,
            Self::H2(stream) => {
                poll_fn(|cx| stream.poll_aborted(cx)).await;
            }
        }
    }
}

impl Sink<'_> {
    /// However the message is cut, its reader must not take it for whole. A stream that is not ended
    /// never looks so.
    pub fn set_reset_on_close(&self, reset: bool) {
        if let Self::H1(write) = self {
            write.set_reset_on_close(reset);
        }
    }
}
