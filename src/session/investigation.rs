//! What a connection can still tell after an attempt on it has failed.

use super::attempt;
use super::retry::FailedAttempt;
use super::transfer_state::UploadState;
use crate::fault::{Kind, Progress, Side};
use crate::net::deadline::Timer;
use crate::net::delivery::CloseKind;
use crate::net::lease::Lease;
use crate::tls_fault::TlsFault;

impl FailedAttempt {
    /// The same with what the connection can still tell, if that matters: whether it had gone stale
    /// and whether a request that must not be repeated can have arrived. Before it was written,
    /// `carried` bytes had been.
    pub(super) async fn investigated(
        self,
        lease: &Lease,
        carried: u64,
        upload: UploadState,
        is_idempotent: bool,
        timer: &mut Timer,
    ) -> Self {
        let Self { fault, progress, .. } = self;
        let has_closed = fault.side == Side::Upstream
            && matches!(
                fault.kind,
                Kind::Closed | Kind::Reset | Kind::Broken | Kind::Tls(TlsFault::Alert(_))
            );
        if !has_closed || progress == Progress::Underway {
            return self;
        }
        let is_in_doubt = progress == Progress::Unanswered && !is_idempotent;
        let progress = if is_in_doubt {
            let how = close_kind(fault.kind, upload);
            attempt::progress_of_unanswered(&lease.stream, carried, how, timer).await
        } else {
            progress
        };
        Self { progress, was_stale: lease.is_reused(), ..self }
    }
}

fn close_kind(kind: Kind, upload: UploadState) -> CloseKind {
    match (kind, upload) {
        // The kernel reports a reset once: after that, even a reset looks like an end.
        (_, UploadState::Reset) => CloseKind::Otherwise,
        (Kind::Closed, _) => CloseKind::InOrder,
        _ => CloseKind::Otherwise,
    }
}
