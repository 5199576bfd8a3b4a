//! Everything to endpoints with TLS that know themselves by one name, like 1.1.1.1 and 1.0.0.1 as one.one.one.one:
//! that name is asked for and verified in TLS, and is what Host says.
//!
//! `host_rewrite LISTEN NAME CA ENDPOINT...`; CA is a file of roots, or `-` for the system's.

use std::error::Error;

use evener::{Config, Evener, RouteBuilder, UpstreamBuilder};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, name, ca, endpoints @ ..] = &words[..] else {
        return Err("host_rewrite LISTEN NAME CA ENDPOINT...".into());
    };
    let mut upstream = UpstreamBuilder::new("secure").sni(name).check("tcp");
    if ca != "-" {
        upstream = upstream.set("ca", ca.as_str());
    }
    for endpoint in endpoints {
        upstream = upstream.endpoint(&format!("https://{endpoint}"));
    }
    let route = RouteBuilder::prefix("/").upstream("secure").host_header(name);
    let config = Config::builder().listen(listen).threads(1).upstream(upstream).route(route);
    Ok(Evener::new(config.build()?).run()?)
}
