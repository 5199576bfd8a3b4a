//! Reading one head, of a request or of a response.

use super::copy::Meter;
use crate::buffer::Buffer;
use crate::fault::Kind;
use crate::http::h1::scan::{Limits, Scan};
use crate::net::stream::ReadHalf;

/// Reads until `input` holds a whole head, and returns its length. The end of the connection before
/// that is [`Kind::Closed`].
pub async fn read_head(
    from: &mut ReadHalf<'_>,
    input: &mut Buffer,
    mut scan: Scan,
    limits: &Limits,
    meter: &Meter<'_>,
) -> Result<usize, Kind> {
    loop {
        if let Some(length) = scan.advance(input.filled(), limits).map_err(Kind::Rejected)? {
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
