//! Endpoints that register themselves: each is a file of a folder, and called by its address: `registry LISTEN FOLDER`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use evener::{Config, CustomSource, Evener, RouteBuilder};

/// The files of this folder.
struct Registry(PathBuf);

impl CustomSource for Registry {
    fn endpoints(&mut self) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
        let mut found = Vec::new();
        for file in fs::read_dir(&self.0)? {
            found.push(file?.file_name().to_string_lossy().into_owned());
        }
        // In an order that depends on nothing else.
        found.sort_unstable();
        Ok(found)
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, folder] = &words[..] else { return Err("registry LISTEN FOLDER".into()) };
    let config = Config::builder()
        .listen(listen)
        .custom_source("folder", Registry(folder.into()))
        .route(RouteBuilder::prefix("/").endpoint("custom:folder"))
        .build()?;
    Ok(Evener::new(config).run()?)
}
