//! Who may import whom, held by reading the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The ground floor and the rooms of the core, and which rooms each may use besides the ground floor. A room that holds
/// a value of another (an endpoint holds a subscription) names it here.
const ROOMS: &[(&str, &[&str])] = &[
    ("registration", &["encoding", "matching", "retry", "signing"]),
    ("matching", &[]),
    ("encoding", &[]),
    ("signing", &[]),
    ("response", &[]),
    ("retry", &[]),
    ("journal", &[]),
    ("sender", &["registration", "matching", "encoding", "signing", "response", "retry", "journal"]),
    ("receiver", &["registration", "matching", "encoding", "signing", "response", "retry", "journal"]),
];

/// Values that every room may use. An event holds a type and a payload.
const GROUND: &[(&str, &[&str])] = &[
    ("digest", &[]),
    ("event", &["matching", "encoding"]),
    ("id", &[]),
    ("limits", &[]),
    ("secret", &[]),
    ("seed", &[]),
    ("table", &[]),
    ("time", &[]),
    ("wake", &[]),
];

/// Which of our packages each of our packages may depend on, tests aside.
const PACKAGES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("adapters/journal", &["postrider-core"]),
    ("adapters/driver", &["postrider-core", "postrider-journal"]),
    ("adapters/tokio", &["postrider-core", "postrider-driver", "postrider-journal"]),
    ("adapters/blocking", &["postrider-core", "postrider-driver", "postrider-journal"]),
    ("adapters/axum", &["postrider-core", "postrider-tokio"]),
    (
        "adapters/postrider",
        &[
            "postrider-core",
            "postrider-driver",
            "postrider-journal",
            "postrider-tokio",
            "postrider-blocking",
            "postrider-axum",
        ],
    ),
    ("adapters/cli", &["postrider", "postrider-core", "postrider-driver"]),
    ("tests/testkit", &["postrider-core"]),
    ("tests/conformance", &["postrider", "postrider-core"]),
    ("tests/damage", &["postrider-core", "postrider-journal"]),
    ("tests/sim", &["postrider-core", "postrider-journal", "postrider-testkit"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The source files of a module, `name.rs` and everything below `name/`.
fn sources(name: &str) -> Vec<PathBuf> {
    let src = root().join("core/src");
    let mut files = Vec::new();
    let mut folders = vec![src.join(name)];
    let file = src.join(format!("{name}.rs"));
    if file.exists() {
        files.push(file);
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The modules of the core that a file uses, comments and tests aside.
fn uses(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).expect("a source file can be read");
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        if let Some(group) = part.strip_prefix('{') {
            let names = group.split('}').next().unwrap_or_default().split(',');
            found.extend(names.map(|name| name.trim().split("::").next().unwrap_or_default().to_string()));
        } else {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            found.insert(part[..end].to_string());
        }
    }
    found
}

#[test]
fn rooms_of_the_core_use_only_what_they_may() {
    let ground: BTreeSet<&str> = GROUND.iter().map(|(name, _)| *name).collect();
    let rooms: BTreeSet<&str> = ROOMS.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (room, may) in ROOMS.iter().chain(GROUND) {
        for path in sources(room) {
            if path.file_name().is_some_and(|name| name == "tests.rs") {
                continue;
            }
            seen += 1;
            for used in uses(&path) {
                let known = rooms.contains(used.as_str()) || ground.contains(used.as_str());
                let allowed = used == *room || ground.contains(used.as_str()) || may.contains(&used.as_str());
                if known && !allowed {
                    wrong.push(format!("{} uses {used}, which {room} may not", path.display()));
                }
            }
        }
    }
    assert!(seen > 40, "only {seen} files were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_core_is_in_the_table() {
    let text = fs::read_to_string(root().join("core/src/lib.rs")).expect("the core has a root");
    let declared = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let known: BTreeSet<&str> =
        ROOMS.iter().chain(GROUND).map(|(name, _)| *name).chain(["manual", "planted"]).collect();
    let strangers: Vec<_> = declared.filter(|name| !known.contains(name)).collect();
    assert!(strangers.is_empty(), "no place in the house: {strangers:?}");
}

#[test]
fn packages_depend_only_on_what_they_may() {
    let mut wrong = Vec::new();
    for (package, may) in PACKAGES {
        let path = root().join(package).join("Cargo.toml");
        let text = fs::read_to_string(&path).expect("every package has a manifest");
        let dependencies = text.split("\n[dev-dependencies]").next().unwrap_or_default();
        let dependencies = dependencies.split("\n[dependencies]").nth(1).unwrap_or_default();
        for line in dependencies.lines().take_while(|line| !line.starts_with('[')) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if name.starts_with("postrider") && !may.contains(&name) {
                wrong.push(format!("{package} depends on {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_source_file_has_more_than_700_lines() {
    let mut folders = vec![root()];
    let mut long = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let lines = fs::read_to_string(&path).expect("a source file can be read").lines().count();
                if lines > 700 {
                    long.push(format!("{}: {lines}", path.display()));
                }
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn the_core_forbids_what_it_must_not_do() {
    let bans = fs::read_to_string(root().join("core/clippy.toml")).expect("the core has its bans");
    for banned in ["Instant::now", "SystemTime::now", "thread::spawn", "HashMap", "TcpStream", "fs::File", "env::var"] {
        assert!(bans.contains(banned), "{banned} is not banned");
    }
    let lib = fs::read_to_string(root().join("core/src/lib.rs")).expect("the core has a root");
    assert!(lib.contains("#![no_std]"));
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace has a manifest");
    assert!(workspace.contains("unsafe_code = \"forbid\""));
}
