//! What people begin with: the files of docs/coming-from.md and docs/getting-started.md, and what `tools/from-nginx`
//! makes of its examples, are accepted by the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::temporary;
use crate::support::tls::Authority;

#[test]
fn the_files_on_pages_for_newcomers_are_accepted() {
    for (name, count) in [("docs/coming-from.md", 5), ("docs/getting-started.md", 2)] {
        let page = fs::read_to_string(path(name)).expect("the page");
        let files = page.split("```yaml\n").skip(1).filter_map(|text| text.split("```").next());
        let files: Vec<_> = files.collect();
        assert_eq!(files.len(), count, "{name}");
        for file in files {
            is_accepted(file);
        }
    }
}

#[test]
fn what_is_converted_from_nginx_is_accepted() {
    let folder = fs::read_dir(path("tools/from-nginx.d/examples")).expect("a folder");
    let files = folder.map(|entry| entry.expect("an entry").path());
    let converted: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(converted.len() >= 3, "{converted:?}");
    for file in converted {
        assert!(file.with_extension("conf").exists(), "{}: from what?", file.display());
        is_accepted(&fs::read_to_string(&file).expect("a file"));
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Has the program check it beside the files that it names, with ports that anybody may use.
fn is_accepted(text: &str) {
    let folder = temporary("coming");
    fs::create_dir(&folder).expect("a folder");
    let identity = Authority::shared().issue(&["example.com"]);
    let lines =
        text.lines().enumerate().map(|(at, line)| match line.strip_prefix("  - {listen: ") {
            Some(relay) => {
                let rest = relay.find(',').map_or("", |comma| &relay[comma..]);
                format!("  - {{listen: 'unix:{}/{at}'{rest}\n", folder.display())
            }
            None => anywhere(line) + "\n",
        });
    let text: String = lines.collect();
    for (name, content) in [
        ("conf.yaml", &*text),
        ("example.com.pem", identity.chain_pem()),
        ("example.com.key", identity.key_pem()),
        ("sorry.html", "<h1>Sorry: {status}</h1>"),
    ] {
        fs::write(folder.join(name), content).expect("write");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_evener"));
    // Not every machine has root certificates.
    command.env("SSL_CERT_FILE", Authority::shared().file());
    let output =
        command.arg("-t").arg("-c").arg(folder.join("conf.yaml")).output().expect("evener -t");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    fs::remove_dir_all(&folder).expect("remove");
    // 1 is about this machine, on which there need be no such user and directory.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}\n{text}");
}

/// A line of a file, with port 0 where it listens.
fn anywhere(line: &str) -> String {
    if !line.starts_with("listen") && !line.starts_with("admin") {
        return line.to_owned();
    }
    let mut pieces = line.split(':');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |line, piece| {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == piece.len() { line + ":" + piece } else { line + ":0" + rest }
    })
}
