//! Requests need a key, and each key has so many requests a minute; endpoints are told whose it is and do not see it:
//! `api_key LISTEN ENDPOINT RATE KEY=NAME...`.

use std::collections::HashMap;
use std::error::Error;

use evener::{
    ClientRequest, Config, Edits, Evener, Filters, LocalReply, RouteBuilder, Verdict, json,
};

/// The names of those who have a key, by their keys.
struct ApiKeys(HashMap<Vec<u8>, String>);

impl Filters for ApiKeys {
    type Context = ();

    // Before the route is looked at, and with it its rate limit: only keys that are known are counted there.
    fn request<'a>(
        &'a self,
        request: &ClientRequest<'a>,
        edits: &mut Edits<'a>,
        (): &mut (),
    ) -> Verdict {
        let Some(name) = request.header("X-Api-Key").and_then(|key| self.0.get(key)) else {
            return Verdict::reply(LocalReply::new(401, "no key, or none that is known"));
        };
        match edits.remove_header("X-Api-Key").and(edits.set_header("X-User", name.as_bytes())) {
            Ok(()) => Verdict::Continue,
            Err(_) => Verdict::reply(LocalReply::new(500, "a name that no header can hold")),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, endpoint, rate, keys @ ..] = &words[..] else {
        return Err("api_key LISTEN ENDPOINT RATE KEY=NAME...".into());
    };
    let keys = keys.iter().filter_map(|key| key.split_once('='));
    let names = keys.map(|(key, name)| (key.into(), name.to_owned())).collect();
    let limit = json!({"rate": format!("{rate}/m"), "burst": rate, "by": "header:X-Api-Key"});
    let route = RouteBuilder::prefix("/").endpoint(endpoint).set("rate_limit", limit);
    let config = Config::builder().listen(listen).threads(1).route(route).build()?;
    Ok(Evener::new(config).filters(ApiKeys(names)).run()?)
}
