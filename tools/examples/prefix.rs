//! The classic: two services behind two prefixes, each with endpoints that are checked.
//!
//! `prefix LISTEN AUTH TASK`, where AUTH and TASK are lists such as `10.0.0.1:80,10.0.0.2:80`.

use std::error::Error;

use evener::{Config, Evener, RouteBuilder, UpstreamBuilder};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mut word = |what: &str| words.next().ok_or(format!("{what} is missing"));
    let mut config = Config::builder().listen(&word("LISTEN")?).threads(1).check("http:/health");
    for name in ["auth", "task"] {
        let endpoints = word(name)?;
        let upstream = UpstreamBuilder::new(name).policy("least_requests");
        config = config
            .upstream(endpoints.split(',').fold(upstream, UpstreamBuilder::endpoint))
            .route(RouteBuilder::prefix(&format!("/{name}")).upstream(name).strip_prefix());
    }
    Ok(Evener::new(config.build()?).run()?)
}
