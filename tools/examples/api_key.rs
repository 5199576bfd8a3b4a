//! Requests need a key, and each has so many requests a minute; endpoints are told whose it is and do not see it:
//! `api_key LISTEN ENDPOINT RATE KEY=NAME...`.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use evener::{ClientRequest, Config, Edits, Evener, Filters, LocalReply, RouteBuilder, Verdict};

struct ApiKeys {
    names: HashMap<Vec<u8>, String>,
    rate: u32,
    /// By the names: when their minute began, and their requests since then.
    seen: Mutex<HashMap<String, (Instant, u32)>>,
}

impl Filters for ApiKeys {
    type Context = ();

    fn request<'a>(
        &'a self,
        request: &ClientRequest<'a>,
        edits: &mut Edits<'a>,
        (): &mut (),
    ) -> Verdict {
        let key = request.header("X-Api-Key").unwrap_or_default();
        let Some(name) = self.names.get(key) else {
            return Verdict::reply(LocalReply::new(401, "no key, or none that is known"));
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, count) = seen.entry(name.clone()).or_insert((Instant::now(), 0));
        if began.elapsed() >= Duration::from_secs(60) {
            (*began, *count) = (Instant::now(), 0);
        }
        *count += 1;
        if *count > self.rate {
            return Verdict::reply(LocalReply::new(429, "too many requests").with_retry_after(60));
        }
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
    let filters = ApiKeys { names, rate: rate.parse()?, seen: Mutex::default() };
    let route = RouteBuilder::prefix("/").endpoint(endpoint);
    let config = Config::builder().listen(listen).threads(1).route(route).build()?;
    Ok(Evener::new(config).filters(filters).run()?)
}
