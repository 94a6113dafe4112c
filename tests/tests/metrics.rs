//! The page about metrics, against the metrics that the code makes.

#[cfg(test)]
mod metrics {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    /// How the code makes one: the builder, then the name.
    const BUILDERS: [&str; 4] = ["_counter(", "_gauge(", "_histogram(", "_up_down_counter("];

    fn root() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// Returns the names of the metrics that a source makes.
    fn made(source: &str) -> impl Iterator<Item = String> {
        let calls = BUILDERS
            .iter()
            .flat_map(|builder| source.split(builder).skip(1));
        calls.filter_map(|rest| {
            let name = rest.trim_start().strip_prefix('"')?;
            let name = name.split('"').next()?;
            name.starts_with("mailmesh_").then(|| name.to_owned())
        })
    }

    #[test]
    fn the_page_has_each_metric_of_the_code_and_no_other() {
        let mut files = Vec::new();
        for folder in ["libs", "services"] {
            for entry in std::fs::read_dir(root().join(folder)).unwrap() {
                sources(&entry.unwrap().path().join("src"), &mut files);
            }
        }
        let texts = files
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap());
        let made: BTreeSet<String> = texts
            .flat_map(|text| made(&text).collect::<Vec<_>>())
            .collect();
        let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
        let told: BTreeSet<String> = page
            .lines()
            .filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned()))
            .collect();

        assert!(made.len() > 10, "{made:?}");
        assert_eq!(made, told);
    }
}
