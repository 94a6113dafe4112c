//! Who must act is decided in one place: production code names causes, and words no actor and no action of its own.

#[cfg(test)]
mod responsibility {
    use std::path::{Path, PathBuf};

    /// Forms in which code would decide by itself.
    const OWN_DECISIONS: &[&str] = &[
        "must_act = ",
        "must_act: MustAct::",
        ".action = ",
        "who: MustAct::",
        ".who = ",
    ];
    /// The table; the type of problems; the page that prints them.
    const ALLOWED: &[&str] = &[
        "libs/domain/src",
        "libs/events/src/problem.rs",
        "services/auth-callback/src/page.rs",
    ];

    fn root() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|name| name == "rs")
                && path.file_stem().is_some_and(|name| name != "tests")
            {
                found.push(path);
            }
        }
    }

    #[test]
    fn only_the_table_decides_who_must_act() {
        let root = root();
        let mut files = Vec::new();
        for folder in ["libs", "services"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let source = entry.unwrap().path().join("src");
                if source.is_dir() {
                    sources(&source, &mut files);
                }
            }
        }
        assert!(files.len() > 100, "the sources were not found");

        let mut deciding = Vec::new();
        for file in files {
            let name = file.strip_prefix(&root).unwrap();
            if ALLOWED.iter().any(|allowed| name.starts_with(allowed)) {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            let production = text.split("#[cfg(test)]").next().unwrap_or_default();
            for form in OWN_DECISIONS {
                if production.contains(form) {
                    deciding.push(format!("{}: {form}", name.display()));
                }
            }
        }
        assert_eq!(deciding, Vec::<String>::new());
    }
}
