use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the house from the ground up; a module uses only rooms below its own.
const LAYERS: [&[&str]; 10] = [
    &["error", "notes", "objects", "roots", "sql_type", "store", "units"],
    &["formats", "output"],
    &["dataset"],
    &["exec"],
    &["plan"],
    &["cluster"],
    &["engine"],
    &["console"],
    &["shell"],
    &["cli"],
];

/// Crates that only one room may name.
const OWNED: [(&str, &str); 7] = [
    ("ballista_core", "cluster"),
    ("ballista_executor", "cluster"),
    ("ballista_scheduler", "cluster"),
    ("clap", "cli"),
    ("globset", "dataset"),
    ("rustyline", "shell"),
    ("tonic", "cluster"),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The room of a file: its first folder below `src`, or its own name.
fn room(path: &Path) -> String {
    let below = path.strip_prefix("src").expect("below src");
    let first = below.components().next().expect("a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_string()
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// Code without comments and tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_module_uses_a_higher_one() {
    let mut checked = 0;
    for path in sources(Path::new("src")) {
        let own = room(&path);
        if own == "main" || own == "lib" {
            continue;
        }
        let own_layer = layer(&own).unwrap_or_else(|| panic!("{own} is in no layer"));
        for part in code(&path).split("crate::").skip(1) {
            let used: String =
                part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let Some(used_layer) = layer(&used) else { continue };
            assert!(
                used == own || used_layer < own_layer || (own_layer == 0 && used_layer == 0),
                "{}: {own} uses {used}, which lies above it or beside it",
                path.display()
            );
            checked += 1;
        }
    }
    assert!(checked > 50, "the test looks at the code");
}

#[test]
fn some_crates_are_named_in_one_room_only() {
    for path in sources(Path::new("src")) {
        let own = room(&path);
        let code = code(&path);
        for (name, owner) in OWNED {
            let named =
                code.contains(&format!("{name}::")) || code.contains(&format!("use {name}"));
            assert!(!named || own == owner, "{} names {name}", path.display());
        }
    }
}

#[test]
fn the_library_reads_no_environment_and_no_terminal() {
    for path in sources(Path::new("src")) {
        let own = room(&path);
        if layer(&own).is_none_or(|layer| layer > 5) {
            continue;
        }
        let code = code(&path);
        for forbidden in ["std::env::var", "io::stdin()", "io::stdout()", "is_terminal", "println!"]
        {
            assert!(!code.contains(forbidden), "{} uses {forbidden}", path.display());
        }
    }
}
