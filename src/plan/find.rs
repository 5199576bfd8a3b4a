//! Where a request goes.

use std::net::IpAddr;

use super::Plan;
use crate::http::message::head::RequestHead;
use crate::http::rules::table::FoundRoute;

impl Plan {
    /// Where a request goes whose normalised path is `path`; `client` is the real one.
    pub fn find_route(
        &self,
        head: &RequestHead<'_, '_>,
        path: &[u8],
        client: Option<IpAddr>,
    ) -> FoundRoute {
        self.route_table.find(head, path, client)
    }
}
