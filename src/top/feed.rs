//! The thread that asks the balancer: for its status every interval, and to carry out commands.

use std::fmt::Write as _;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::keys::{TopMessage, WantedCommand};
use super::reading::StatusReading;
use super::text::shown;
use crate::admin_client::{AdminClient, Unanswered};

/// How many commands may wait while one is carried out, and how much news to be drawn.
const WAITING_MAX: usize = 4;

/// What is learnt.
pub(super) enum News {
    /// The status, and when it came.
    Status(Box<StatusReading>, Instant),
    /// That it did not, and why.
    Lost(String),
    /// What has come of a command.
    Done(TopMessage),
}

/// Asks for the status once.
pub(super) fn read(client: &AdminClient, address: &str) -> Result<StatusReading, String> {
    let none = |why: &dyn std::fmt::Display| {
        format!(
            "no admin listener answers at {address}: {why}: start the balancer with --admin, and name its \
             address here with --admin ADDR"
        )
    };
    let answer = client.ask("GET", "/status").map_err(|why| match why {
        Unanswered::Connect(_) | Unanswered::Stranger => none(&why),
        Unanswered::Late(_) | Unanswered::Broken(_) | Unanswered::TooLarge => {
            format!("the listener at {address} has not answered as an admin listener does: {why}")
        }
    })?;
    match answer.status {
        200 => {
            let other =
                |error| none(&format!("what it says of its status is not Evener's: {error}"));
            StatusReading::parse(&answer.body).map_err(other)
        }
        401 if client.has_token() => Err(format!(
            "the admin listener at {address} refuses this token: name the file that it was started with, \
             with --admin-token-file FILE"
        )),
        401 => Err(format!(
            "the admin listener at {address} requires a token: name the file with it, with \
             --admin-token-file FILE"
        )),
        403 => Err(format!(
            "the admin listener at {address} refuses that name: use localhost or a loopback address"
        )),
        status => Err(none(&format!("GET /status is answered with {status}"))),
    }
}

/// Starts the thread; it ends when the other ends of both channels are gone.
pub(super) fn start(
    client: AdminClient,
    address: String,
    interval: Duration,
) -> io::Result<(SyncSender<WantedCommand>, Receiver<News>)> {
    let (commands, wanted) = sync_channel(WAITING_MAX);
    let (news, learnt) = sync_channel(WAITING_MAX);
    let work = move || {
        let next = |began: Instant| interval.saturating_sub(began.elapsed());
        let mut began = Instant::now();
        loop {
            let told = match wanted.recv_timeout(next(began)) {
                Ok(wanted) => News::Done(carry_out(&client, &wanted)),
                Err(RecvTimeoutError::Timeout) => {
                    began = Instant::now();
                    status(&client, &address)
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // What a command has changed is shown at once.
            let is_done = matches!(told, News::Done(_));
            if news.send(told).is_err()
                || (is_done && news.send(status(&client, &address)).is_err())
            {
                return;
            }
        }
    };
    thread::Builder::new().name("top".to_owned()).spawn(work)?;
    Ok((commands, learnt))
}

fn status(client: &AdminClient, address: &str) -> News {
    match read(client, address) {
        Ok(reading) => News::Status(Box::new(reading), Instant::now()),
        Err(why) => News::Lost(why),
    }
}

fn carry_out(
    client: &AdminClient,
    WantedCommand { upstream, endpoint, verb }: &WantedCommand,
) -> TopMessage {
    let (upstream, endpoint) = (encoded(upstream), encoded(endpoint));
    let path = format!("/upstreams/{upstream}/endpoints/{endpoint}/{}", verb.name());
    match client.ask("POST", &path) {
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body);
            let is_error = answer.status != 200;
            let status = if is_error { format!("{}: ", answer.status) } else { String::new() };
            TopMessage { text: format!("{status}{}", shown(text.trim_end())), is_error }
        }
        Err(why) => TopMessage { text: format!("{}: {why}", verb.name()), is_error: true },
    }
}

/// A segment of a path (RFC 3986 §3.3), percent-encoded where it is not unreserved.
fn encoded(segment: &str) -> String {
    let mut path = String::new();
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(byte.into());
            }
            _ => {
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_one_segment_of_the_path() {
        assert_eq!(encoded("/a b%"), "%2Fa%20b%25");
        assert_eq!(encoded("[::1]:80"), "%5B%3A%3A1%5D%3A80");
        assert_eq!(encoded("unix:/ü"), "unix%3A%2F%C3%BC");
    }
}
