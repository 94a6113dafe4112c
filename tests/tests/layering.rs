//! The arrows between crates, against the table of `ARCHITECTURE.md`.

#[cfg(test)]
mod layering {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};

    /// Each crate and the crates of ours that it may use in production.
    const ALLOWED: &[(&str, &[&str])] = &[
        ("domain", &[]),
        ("secrets", &[]),
        ("runtime", &[]),
        ("embedded", &[]),
        ("events", &["domain"]),
        ("oauth", &["domain", "secrets"]),
        ("mail", &["domain", "secrets"]),
        ("sandbox", &["domain"]),
        ("store", &["domain", "events", "secrets"]),
        ("bus", &["domain", "events"]),
        (
            "accounts",
            &[
                "bus", "domain", "events", "mail", "oauth", "secrets", "store",
            ],
        ),
    ];

    const SERVICES: &[&str] = &[
        "admin",
        "auth-callback",
        "token-refresh",
        "inbound-fetcher",
        "outbound-sender",
    ];

    fn root() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    struct Manifest {
        production: BTreeSet<String>,
        tests: BTreeSet<String>,
    }

    fn manifest(folder: &Path) -> Manifest {
        let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let ours = |section: &str| {
            let table = manifest.get(section).and_then(toml::Value::as_table);
            table
                .into_iter()
                .flat_map(toml::Table::keys)
                .filter_map(|name| name.strip_prefix("mailmesh-").map(ToOwned::to_owned))
                .collect()
        };
        Manifest {
            production: ours("dependencies"),
            tests: ours("dev-dependencies"),
        }
    }

    fn manifests(folder: &str) -> BTreeMap<String, Manifest> {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("Cargo.toml").exists())
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, manifest(&path))
            })
            .collect()
    }

    #[test]
    fn libraries_use_only_what_lies_below_them() {
        let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
        for (name, manifest) in manifests("libs") {
            if name == "testkit" {
                continue;
            }
            let below = allowed
                .get(name.as_str())
                .unwrap_or_else(|| panic!("libs/{name} is missing from the table"));
            for used in &manifest.production {
                assert!(below.contains(&used.as_str()), "libs/{name} uses {used}");
            }
        }
    }

    #[test]
    fn services_use_libraries_and_never_each_other() {
        for (name, manifest) in manifests("services") {
            for used in &manifest.production {
                let is_service = SERVICES.contains(&used.as_str());
                assert!(
                    !is_service || name == "mailmesh",
                    "services/{name} uses the service {used}"
                );
                assert_ne!(used, "testkit", "services/{name} ships the test kit");
                assert!(
                    used != "sandbox" || name == "mailmesh",
                    "services/{name} ships the sandbox"
                );
            }
        }
    }

    /// The test kit's own crates, and all below them.
    fn below_the_test_kit() -> BTreeSet<String> {
        let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
        let mut open: Vec<String> = manifests("libs")["testkit"]
            .production
            .iter()
            .cloned()
            .collect();
        let mut below = BTreeSet::new();
        while let Some(name) = open.pop() {
            let lower = allowed.get(name.as_str()).copied().unwrap_or_default();
            open.extend(lower.iter().map(|&lower| lower.to_owned()));
            below.insert(name);
        }
        below
    }

    #[test]
    fn the_test_kit_is_used_in_tests_alone() {
        let below = below_the_test_kit();
        assert!(
            below.contains("store") && below.contains("domain"),
            "{below:?}"
        );
        for folder in ["libs", "services"] {
            for (name, manifest) in manifests(folder) {
                assert!(
                    !manifest.production.contains("testkit"),
                    "{folder}/{name} uses the test kit in production"
                );
                // Below the test kit a dev-dependency on it would be a cycle of builds.
                assert!(
                    !below.contains(&name) || !manifest.tests.contains("testkit"),
                    "libs/{name} lies below the test kit and cannot test with it"
                );
            }
        }
    }

    fn longest_chain(name: &str, arrows: &BTreeMap<String, Manifest>) -> Vec<String> {
        let below = arrows.get(name).into_iter().flat_map(|it| &it.production);
        let chains = below.map(|next| longest_chain(next, arrows));
        let mut longest = chains.max_by_key(Vec::len).unwrap_or_default();
        longest.insert(0, name.to_owned());
        longest
    }

    #[test]
    fn no_chain_of_arrows_is_longer_than_six() {
        let mut arrows = manifests("libs");
        arrows.extend(manifests("services"));

        let chains = arrows.keys().map(|name| longest_chain(name, &arrows));
        let longest = chains.max_by_key(Vec::len).unwrap();

        assert!(longest.len() <= 6, "{longest:?}");
        assert_eq!(longest.first().map(String::as_str), Some("mailmesh"));
    }
}
