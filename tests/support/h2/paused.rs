//! One side of a connection on a paused clock, frame by frame.

use std::rc::Rc;

use evener::plan::context::WorkerContext;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::fields::Decoder;
use super::frame::{Frame, flag, kind};
use super::raw_client::PREFACE;
use crate::support::paused::connect;

/// Sends any frame, and reads those of its peer in the order in which they come.
pub struct PausedPeer {
    stream: UnixStream,
    held: Vec<u8>,
    decoder: Decoder,
}

impl PausedPeer {
    /// A client of a session of its own, which has sent its preface and no settings.
    pub async fn client(context: &Rc<WorkerContext>) -> Self {
        let mut client = Self::over(connect(context));
        client.stream.write_all(PREFACE).await.expect("a connection");
        client.send([Frame::settings(&[]), Frame::settings_ack()]).await;
        client
    }

    /// A server, which has read the preface and sent no settings.
    pub async fn server(stream: UnixStream) -> Self {
        let mut server = Self::over(stream);
        let mut preface = [0; PREFACE.len()];
        server.stream.read_exact(&mut preface).await.expect("a preface");
        server.send([Frame::settings(&[]), Frame::settings_ack()]).await;
        server
    }

    fn over(stream: UnixStream) -> Self {
        Self { stream, held: Vec::new(), decoder: Decoder::default() }
    }

    /// Sends frames in one write; a peer that has left does not get them.
    pub async fn send(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let bytes: Vec<_> = frames.into_iter().flat_map(|frame| frame.encode()).collect();
        let _ = self.stream.write_all(&bytes).await;
    }

    /// The next frame but SETTINGS and credit; `None` if the connection ends before.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any().await?;
            if ![kind::SETTINGS, kind::WINDOW_UPDATE].contains(&frame.kind) {
                return Some(frame);
            }
        }
    }

    /// The next of this kind, whatever comes before.
    pub async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.any().await.expect("a frame of that kind");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// All that still comes.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    async fn any(&mut self) -> Option<Frame> {
        loop {
            if let Some((mut frame, length)) = Frame::decode(&self.held) {
                self.held.drain(..length);
                if frame.kind == kind::HEADERS && frame.has(flag::END_HEADERS) {
                    frame.fields = Some(self.decoder.decode(frame.content()));
                }
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.held).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}
