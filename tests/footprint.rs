//! What costs memory for as long as a connection lasts, counted, not timed.

use std::time::Duration;

use evener::net::stream::Stream;
use evener::session::{self, Entrance};
use tokio::net::UnixStream;

use crate::support::paused::{run, services};

/// What each idle client costs besides its socket: 544 bytes when measured, and a tenth above.
const SESSION_BYTES_MAX: usize = 598;

#[test]
fn a_parked_session_is_small() {
    run(Duration::from_secs(1), async {
        let services = services(&["--route", "/=127.0.0.1:1"]);
        let (stream, _client) = UnixStream::pair().unwrap();
        let session = session::serve(Stream::Unix(stream), None, Entrance::HTTP, services);
        let bytes = size_of_val(&session);
        assert!(bytes <= SESSION_BYTES_MAX, "{bytes} bytes, where {SESSION_BYTES_MAX} are allowed");
    });
}
