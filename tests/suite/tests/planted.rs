//! The breaks that prove the laws' properties are in no build but their own.

use std::path::{Path, PathBuf};

#[test]
fn nothing_planted_is_in_an_ordinary_build() {
    if cfg!(postrider_planted) {
        panic!("the tests are built with breaks in the core");
    }
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../core/src");
    let mut asked = 0;
    for file in files(&core) {
        if file.file_name().is_some_and(|name| name == "planted.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_use(line)) {
            asked += 1;
            // Either the line itself, or the statement that it begins, stands behind the attribute.
            let guarded = lines[at.saturating_sub(3)..at].contains(&"#[cfg(postrider_planted)]");
            assert!(guarded, "{}:{}: {line}", file.display(), at + 1);
        }
    }
    assert!(asked >= 10, "one place for each law, and the module");
}

fn is_use(line: &str) -> bool {
    (line.contains("planted::") || line.contains("mod planted")) && !line.starts_with("//")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("a folder of the source").map(|entry| entry.expect("it can be read").path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}
