//! Counts requests, errors and the bytes of answers by tenant, the first label of the host: `tenants LISTEN ENDPOINT`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use evener::{ClientRequest, Config, Edits, Evener, ExchangeEnd, Filters, RouteBuilder, Verdict};

/// More are counted together: made-up hosts must not fill the memory.
const TENANTS_MAX: usize = 1000;

/// Requests, errors, bytes that were sent, and whether that is news.
type Counts = (u64, u64, u64, bool);
#[derive(Clone, Default)]
struct Tenants(Arc<Mutex<BTreeMap<String, Counts>>>);

impl Filters for Tenants {
    type Context = String;
    const RECORDS: bool = true;

    fn request<'a>(
        &'a self,
        request: &ClientRequest<'a>,
        _: &mut Edits<'a>,
        tenant: &mut String,
    ) -> Verdict {
        let host = String::from_utf8_lossy(request.head.authority);
        *tenant = host.split(['.', ':']).next().unwrap_or_default().to_ascii_lowercase();
        Verdict::Continue
    }

    fn end(&self, end: &ExchangeEnd<'_>, tenant: &mut String) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = counts.len() >= TENANTS_MAX && !counts.contains_key(tenant);
        let name = if is_full { "(others)".to_owned() } else { std::mem::take(tenant) };
        let (requests, errors, bytes, is_news) = counts.entry(name).or_default();
        (*requests, *is_news) = (*requests + 1, true);
        *bytes += end.record.map_or(0, |record| record.bytes_to_client());
        *errors += u64::from(end.status.is_none_or(|status| status >= 500));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, endpoint] = &words[..] else { return Err("tenants LISTEN ENDPOINT".into()) };
    let (tenants, route) = (Tenants::default(), RouteBuilder::prefix("/").endpoint(endpoint));
    let config = Config::builder().listen(listen).threads(1).route(route).build()?;
    let running = Evener::new(config).filters(tenants.clone()).start()?;
    println!("listening on {}", running.addresses()[0]);
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let mut counts = tenants.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (tenant, (requests, errors, bytes, is_news)) in &mut *counts {
            if std::mem::take(is_news) {
                println!("{tenant}: requests={requests} errors={errors} bytes={bytes}");
            }
        }
    }
}
