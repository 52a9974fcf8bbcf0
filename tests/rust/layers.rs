//! The layers in the table of `src/lib.rs` hold: a module imports only from layers above its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The layer whose modules each face one outside thing and know nothing of each other.
const STRANGERS: usize = 1;

/// Crates that only one module may name.
const OWNED: &[(&str, &str)] = &[
    ("rdkafka", "kafka"),
    ("pyo3", "py"),
    ("axum", "http"),
    ("rocksdb", "state"),
    ("object_store", "state"),
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Module name to layer, read from the table in the documentation of the crate.
fn layers() -> BTreeMap<String, usize> {
    let lib = fs::read_to_string(src().join("lib.rs")).expect("src/lib.rs is part of the crate");
    let mut found = BTreeMap::new();
    for row in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let Some((layer, modules)) = row.split_once('|') else { continue };
        let Some(layer) = layer.split(' ').next().and_then(|n| n.parse().ok()) else { continue };
        for name in modules.split('`').skip(1).step_by(2) {
            found.insert(name.to_string(), layer);
        }
    }
    found
}

/// Every Rust file below `dir`.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// First part of a path below `src`, without its extension.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(src()).expect("listed below src");
    let first = inside.components().next().expect("not empty").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_string()
}

/// `text` without line comments, where names are only mentioned.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// The modules that `crate::x`, `crate::{x, y::{z}}` name in `code`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, what) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = code[at + what.len()..].trim_start();
        match rest.strip_prefix('{') {
            Some(group) => found.extend(top_names(group)),
            None => found.extend(first_name(rest)),
        }
    }
    found
}

/// First names of the items of a braced list, up to its closing brace.
fn top_names(group: &str) -> Vec<String> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.extend(first_name(&group[start..i]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(first_name(&group[start..i]));
                start = i + 1;
            }
            _ => {}
        }
    }
    found
}

fn first_name(path: &str) -> Option<String> {
    let name: String =
        path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// What is wrong with `module` importing `other`.
fn fault(layers: &BTreeMap<String, usize>, module: &str, other: &str) -> Option<String> {
    let (Some(&own), Some(&theirs)) = (layers.get(module), layers.get(other)) else {
        return None;
    };
    if module == other {
        None
    } else if theirs > own {
        Some(format!("{module} (layer {own}) imports {other} (layer {theirs})"))
    } else if theirs == own && own == STRANGERS {
        Some(format!("{module} and {other} are both of layer {own} and know each other"))
    } else {
        None
    }
}

#[test]
fn every_module_has_a_layer() {
    let layers = layers();
    let unlisted: Vec<_> = files(&src())
        .unwrap()
        .iter()
        .map(|file| module_of(file))
        .filter(|module| module != "lib" && !layers.contains_key(module))
        .collect();
    assert_eq!(unlisted, Vec::<String>::new(), "add them to the table in src/lib.rs");
    assert!(layers.len() >= 10, "the table of src/lib.rs was not understood: {layers:?}");
}

#[test]
fn imports_point_to_layers_above() {
    let layers = layers();
    let mut faults = Vec::new();
    for file in files(&src()).unwrap() {
        let module = module_of(&file);
        for other in imports(&code(&fs::read_to_string(&file).unwrap())) {
            if let Some(why) = fault(&layers, &module, &other) {
                faults.push(format!("{}: {why}", file.display()));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn an_outside_crate_is_named_by_its_module_only() {
    let mut faults = Vec::new();
    for file in files(&src()).unwrap() {
        let (module, text) = (module_of(&file), code(&fs::read_to_string(&file).unwrap()));
        for (name, owner) in OWNED {
            if module != *owner && text.contains(&format!("{name}::")) {
                faults.push(format!("{}: names {name}, which belongs to {owner}", file.display()));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn the_reader_of_imports_finds_all_of_them() {
    let text = "use crate::{error::{Error, Result}, types::Records,\n kafka};\n\
                fn f(x: crate::codec::json::Y) { my_crate::task::g(); $crate::py::h!() }";
    assert_eq!(imports(text), ["error", "types", "kafka", "codec"]);
}

#[test]
fn a_broken_layer_is_noticed() {
    let layers = layers();
    assert!(fault(&layers, "codec", "kafka").is_some(), "siblings of layer 1");
    assert!(fault(&layers, "engine", "worker").is_some(), "a lower layer");
    assert!(fault(&layers, "error", "http").is_some(), "from the top to the bottom");
    assert_eq!(fault(&layers, "worker", "kafka"), None);
    assert_eq!(fault(&layers, "codec", "codec"), None);
}

/// One that nobody can reach any more would be waited for in vain.
#[test]
fn every_failpoint_of_the_list_is_in_the_code_too() {
    let texts = files(&src()).unwrap().into_iter().map(|file| fs::read_to_string(file).unwrap());
    let all: String = texts.collect();
    for (name, _) in turbine::failpoints::POINTS {
        let times = all.matches(&format!("\"{name}\"")).count();
        assert!(times > 1, "{name} is only in src/failpoints/points.rs");
    }
}
