//! The states of the two directions of a transfer, and what each pair of them means.

use crate::fault::{Fault, Kind, Stage};
use crate::relay::copy::{Broken, End};

/// The request's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadState {
    /// The request is still on its way.
    Running,
    /// All of it has been sent.
    Done,
    /// The endpoint took no more of it; it may have answered before that.
    Refused,
    /// The endpoint reset its connection: an end that is read from it now proves nothing.
    Reset,
    /// The client broke it off, in this way, after the answer had begun.
    BrokenOff(Kind),
}

/// The answer's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadState {
    /// A head is awaited or being read.
    Head,
    /// An interim answer is being sent.
    Interim,
    /// A 101 is being sent.
    Switching,
    /// The final answer is being sent.
    Body,
}

/// What ended a step of a transfer early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The client broke its request off.
    Upload(Kind),
    /// The answer's direction broke.
    Download(Broken),
    /// The client left, in this way.
    ClientLeft(Kind),
    /// Nothing moved in time.
    TimedOut(Waiting),
}

/// What each direction was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The request.
    pub up: End,
    /// The answer.
    pub down: End,
    /// The client sends no more of its request before it is sent a 100.
    pub is_held_back: bool,
}

impl UploadState {
    /// What follows once the upload has ended like this. A client that breaks its request off ends
    /// the exchange, unless the final answer has begun and the client may still be reading it.
    pub fn after(
        ended: Result<(), Broken>,
        download: DownloadState,
    ) -> Result<UploadState, Interruption> {
        match (ended, download) {
            (Ok(()), _) => Ok(Self::Done),
            (Err(Broken { end: End::Sink, kind: Kind::Reset }), _) => Ok(Self::Reset),
            (Err(Broken { end: End::Sink, .. }), _) => Ok(Self::Refused),
            (
                Err(Broken { end: End::Source, kind: kind @ (Kind::Closed | Kind::Rejected(_)) }),
                DownloadState::Body,
            ) => Ok(Self::BrokenOff(kind)),
            (
                Err(Broken { end: End::Source, kind }),
                DownloadState::Head
                | DownloadState::Interim
                | DownloadState::Switching
                | DownloadState::Body,
            ) => Err(Interruption::Upload(kind)),
        }
    }
}

impl Interruption {
    /// Whose doing it was, with the two directions in these states.
    pub fn fault(self, upload: UploadState, download: DownloadState) -> Fault {
        use DownloadState::{Body, Head, Interim, Switching};
        match (self, download) {
            (Self::Upload(kind), Head | Interim | Switching | Body) => {
                Fault::client(Stage::Request, kind)
            }
            (
                Self::Download(Broken { end: End::Sink, kind }),
                Head | Interim | Switching | Body,
            ) => Fault::client(Stage::ResponseBody, kind),
            (Self::Download(Broken { end: End::Source, kind }), Head) => {
                Fault::upstream(Stage::ResponseHead, kind)
            }
            (Self::Download(Broken { end: End::Source, kind }), Interim | Switching | Body) => {
                match (upload, kind) {
                    // Told that there is no more of the request, the endpoint gave up its answer.
                    (UploadState::BrokenOff(_), Kind::Closed | Kind::Reset | Kind::Broken) => {
                        Fault::client(Stage::Request, kind)
                    }
                    _ => Fault::upstream(Stage::ResponseBody, kind),
                }
            }
            (Self::ClientLeft(kind), Head | Interim | Switching | Body) => {
                Fault::client(stage_left(upload, download), kind)
            }
            (Self::TimedOut(waiting), Head) => head_timed_out(upload, waiting),
            (Self::TimedOut(waiting), Interim | Switching | Body) => {
                body_timed_out(upload, waiting)
            }
        }
    }
}

/// What a client has left.
fn stage_left(upload: UploadState, download: DownloadState) -> Stage {
    match (upload, download) {
        (UploadState::Running, _) => Stage::Request,
        (
            UploadState::Done
            | UploadState::Refused
            | UploadState::Reset
            | UploadState::BrokenOff(_),
            DownloadState::Head,
        ) => Stage::ResponseHead,
        (
            UploadState::Done
            | UploadState::Refused
            | UploadState::Reset
            | UploadState::BrokenOff(_),
            DownloadState::Interim | DownloadState::Switching | DownloadState::Body,
        ) => Stage::ResponseBody,
    }
}

fn head_timed_out(upload: UploadState, waiting: Waiting) -> Fault {
    match (upload, waiting.up) {
        (UploadState::Running, End::Source) if !waiting.is_held_back => {
            Fault::client(Stage::Request, Kind::TimedOut)
        }
        (UploadState::Running, End::Sink) => Fault::upstream(Stage::Request, Kind::TimedOut),
        (
            UploadState::Running
            | UploadState::Done
            | UploadState::Refused
            | UploadState::Reset
            | UploadState::BrokenOff(_),
            End::Source | End::Sink,
        ) => Fault::upstream(Stage::ResponseHead, Kind::TimedOut),
    }
}

fn body_timed_out(upload: UploadState, waiting: Waiting) -> Fault {
    match (waiting.down, upload, waiting.up) {
        (End::Sink, ..) => Fault::client(Stage::ResponseBody, Kind::TimedOut),
        // An endpoint that answers as it reads cannot go on before the client does.
        (End::Source, UploadState::Running, End::Source)
        | (End::Source, UploadState::BrokenOff(_), _) => {
            Fault::client(Stage::Request, Kind::TimedOut)
        }
        (
            End::Source,
            UploadState::Running | UploadState::Done | UploadState::Refused | UploadState::Reset,
            _,
        ) => Fault::upstream(Stage::ResponseBody, Kind::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Side;
    use crate::reject::Reject;
    use DownloadState::{Body, Head, Interim, Switching};
    use UploadState::{BrokenOff, Done, Refused, Reset, Running};

    #[test]
    fn how_an_upload_ended_decides_whether_the_exchange_goes_on() {
        let broken = |end, kind| Err(Broken { end, kind });
        let malformed = Kind::Rejected(Reject::ChunkSize);
        for download in [Head, Interim, Switching, Body] {
            assert_eq!(UploadState::after(Ok(()), download), Ok(Done));
            let rows = [(Kind::Reset, Reset), (Kind::Broken, Refused), (Kind::Closed, Refused)];
            for (kind, state) in rows {
                assert_eq!(UploadState::after(broken(End::Sink, kind), download), Ok(state));
            }
            for kind in [Kind::Closed, malformed] {
                let after = UploadState::after(broken(End::Source, kind), download);
                let ends = Err(Interruption::Upload(kind));
                assert_eq!(after, if download == Body { Ok(BrokenOff(kind)) } else { ends });
            }
        }
    }

    #[test]
    fn the_side_that_was_waited_for_is_to_blame() {
        let (client, upstream) = (Side::Client, Side::Upstream);
        let rows = [
            (Head, Running, End::Source, End::Source, client, Stage::Request),
            (Head, Running, End::Sink, End::Source, upstream, Stage::Request),
            (Head, Done, End::Sink, End::Source, upstream, Stage::ResponseHead),
            (Head, Refused, End::Sink, End::Source, upstream, Stage::ResponseHead),
            (Body, Running, End::Source, End::Source, client, Stage::Request),
            (Body, Running, End::Sink, End::Source, upstream, Stage::ResponseBody),
            (Body, BrokenOff(Kind::Closed), End::Source, End::Source, client, Stage::Request),
            (Body, Done, End::Source, End::Source, upstream, Stage::ResponseBody),
            (Body, Done, End::Source, End::Sink, client, Stage::ResponseBody),
            (Interim, Running, End::Source, End::Sink, client, Stage::ResponseBody),
            (Switching, Done, End::Source, End::Sink, client, Stage::ResponseBody),
        ];
        for (download, upload, up, down, side, stage) in rows {
            let waiting = Waiting { up, down, is_held_back: false };
            let fault = Interruption::TimedOut(waiting).fault(upload, download);
            assert_eq!((fault.side, fault.stage), (side, stage), "{download:?} {upload:?}");
        }
        let waiting = Waiting { up: End::Source, down: End::Source, is_held_back: true };
        let fault = Interruption::TimedOut(waiting).fault(Running, Head);
        assert_eq!((fault.side, fault.stage), (upstream, Stage::ResponseHead));
    }
}
