//! Endpoints that are found by whoever embeds the balancer.

use std::cmp::Ordering;
use std::error::Error;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where endpoints come from, found in code: a registry, a cluster's API, a table.
///
/// It is given a name by [`ConfigBuilder::custom_source`], under which endpoints of upstreams are written as `custom:NAME`.
/// It is asked like a source in DNS: what it answers last stays in force while it fails, which is counted and shown in
/// `/status`; after a failure it is asked again after 1 s, 2 s and so on up to 30 s.
///
/// It is asked on a thread for what blocks, by one call at a time, and may take its time, but not for ever: a call
/// that does not return holds one of eight such threads. If it panics, that is a failure.
///
/// ```
/// use std::error::Error;
///
/// use evener::{Config, CustomSource, RouteBuilder};
///
/// /// A variable of the environment, with an address a word.
/// struct FromEnvironment(&'static str);
///
/// impl CustomSource for FromEnvironment {
///     fn endpoints(&mut self) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
///         Ok(std::env::var(self.0)?.split_whitespace().map(str::to_owned).collect())
///     }
/// }
///
/// let config = Config::builder()
///     .custom_source("variable", FromEnvironment("APP_ENDPOINTS"))
///     .route(RouteBuilder::prefix("/").endpoint("custom:variable"))
///     .build()?;
/// # Ok::<(), evener::ConfigErrors>(())
/// ```
///
/// [`ConfigBuilder::custom_source`]: crate::ConfigBuilder::custom_source
pub trait CustomSource: Send + 'static {
    /// All endpoints that there are now, as in the lines of a `file:`: `[SCHEME://]ADDRESS[@WEIGHT]`, followed by ` backup`
    /// for one that is used only while no other is available. At most 1024 count.
    ///
    /// # Errors
    ///
    /// It is not known which there are. What is wrong with an answer, or that it is empty, is a failure like this one.
    fn endpoints(&mut self) -> Result<Vec<String>, Box<dyn Error + Send + Sync>>;

    /// After which time it is asked again: at least 1 s, at most 5 min.
    fn interval(&self) -> Duration {
        Duration::from_secs(5)
    }
}

/// A source by its name: the same one, wherever it stands, has the same answers.
#[derive(Clone)]
pub struct CustomQuery {
    name: Arc<str>,
    /// None where a name was written, and nothing has been given it yet.
    source: Option<Arc<Mutex<dyn CustomSource>>>,
}

impl CustomQuery {
    /// A name that was written.
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), source: None }
    }

    /// A source and its name.
    pub fn new(name: &str, source: impl CustomSource) -> Self {
        Self { name: name.into(), source: Some(Arc::new(Mutex::new(source))) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks it, which may take its time: what there is, and for how long that holds.
    ///
    /// # Errors
    ///
    /// What it says is wrong.
    pub fn ask(&self) -> Result<(Vec<String>, Duration), String> {
        let source = self.source.as_ref().ok_or("no source has been given this name")?;
        // One that has panicked is asked again, like one that has failed.
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        let found = source.endpoints().map_err(|error| error.to_string())?;
        Ok((found, source.interval()))
    }

    fn identity(&self) -> (&str, Option<*const ()>) {
        (&self.name, self.source.as_ref().map(|source| Arc::as_ptr(source).cast()))
    }
}

impl fmt::Debug for CustomQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomQuery").field(&self.name).finish()
    }
}

impl PartialEq for CustomQuery {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for CustomQuery {}

impl Ord for CustomQuery {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl PartialOrd for CustomQuery {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for CustomQuery {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}
