//! Reading one head, of a request or of a response.

use super::copy::Meter;
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::http::h1::scan::{Limits, Scan};
use crate::net::stream::ReadHalf;

/// Reads until `input` holds a whole head, and returns its length. The end of the connection before
/// that is [`Kind::Closed`].
///
/// Not an async function: that would keep its arguments twice.
pub fn read_head<'a>(
    from: &'a mut ReadHalf<'_>,
    input: &'a mut Buffer,
    mut scan: Scan,
    limits: &'a Limits,
    meter: &'a Meter<'_>,
) -> impl Future<Output = Result<usize, Kind>> {
    async move {
        loop {
            let found = scan.advance(input.filled(), limits).map_err(Kind::Rejected)?;
            if let Some(length) = found {
                return Ok(length);
            }
            if input.is_full() {
                input.enlarge();
            }
            if meter.read(from, input).await.map_err(|broken| broken.kind)? == 0 {
                return Err(Kind::Closed);
            }
        }
    }
}
