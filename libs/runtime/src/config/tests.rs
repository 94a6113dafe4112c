use serde::Deserialize;

use super::*;

#[derive(Debug, PartialEq, Deserialize)]
struct Service {
    nats: Nats,
    limits: Limits,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nats {
    url: String,
    replicas: u32,
    prefix: String,
    password_file: Option<u32>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    per_minute: u32,
    hosts: Vec<String>,
}

const DEFAULTS: &str = "
[nats]
url = \"nats://127.0.0.1:4222\"
replicas = 1
prefix = \"\"
[limits]
per_minute = 30
hosts = []
";

fn loader() -> Loader {
    Loader::new(&["nats", "limits", "admin"]).defaults(DEFAULTS)
}

fn with(name: &str, value: &str) -> Loader {
    loader().variables([(name.to_owned(), value.to_owned())])
}

fn with_file(text: &str) -> (Loader, PathBuf) {
    let name = format!(
        "mailmesh-config-{}-{:x}.toml",
        std::process::id(),
        text.len() * 31 + 7
    );
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    (loader().file(&path), path)
}

fn failure(loader: &Loader) -> String {
    loader.load::<Service>().unwrap_err().to_string()
}

#[test]
fn variable_wins_over_file_and_file_over_defaults() {
    let (loader, path) = with_file("[nats]\nurl = \"nats://file\"\nreplicas = 3\n[admin]\nx = 1\n");
    let loader = loader.variables([
        (
            "MAILMESH_NATS__URL".to_owned(),
            "nats://variable".to_owned(),
        ),
        ("MAILMESH_CONFIG".to_owned(), "x.toml".to_owned()),
        ("PATH".to_owned(), "/bin".to_owned()),
    ]);

    let service: Service = loader.load().unwrap();
    std::fs::remove_file(path).unwrap();

    assert_eq!(service.nats.url, "nats://variable");
    assert_eq!(service.nats.replicas, 3);
    assert_eq!(service.limits.per_minute, 30);
}

#[test]
fn text_of_digits_stays_text_and_becomes_a_number_where_one_is_wanted() {
    let loader = loader().variables([
        ("MAILMESH_NATS__PREFIX".to_owned(), "0017".to_owned()),
        ("MAILMESH_NATS__REPLICAS".to_owned(), "5".to_owned()),
        (
            "MAILMESH_LIMITS__HOSTS".to_owned(),
            "[\"a\", \"b\"]".to_owned(),
        ),
    ]);

    let service: Service = loader.load().unwrap();

    assert_eq!(service.nats.prefix, "0017");
    assert_eq!(service.nats.replicas, 5);
    assert_eq!(service.limits.hosts, ["a", "b"]);
}

#[test]
fn typo_in_a_key_names_path_and_file_and_what_was_meant() {
    let (loader, path) = with_file("[nats]\nreplica = 3\n");

    let text = failure(&loader);
    std::fs::remove_file(&path).unwrap();

    assert_eq!(
        text,
        format!(
            "nats.replica in {} is no setting, did you mean nats.replicas?",
            path.display()
        )
    );
}

#[test]
fn typo_in_a_section_is_refused_though_the_file_is_shared() {
    let (loader, path) = with_file("[natz]\nurl = \"x\"\n");

    let text = failure(&loader);
    std::fs::remove_file(&path).unwrap();

    assert_eq!(
        text,
        format!(
            "natz in {} is no setting, did you mean nats?",
            path.display()
        )
    );
}

#[test]
fn wrong_value_names_path_and_variable_and_what_was_expected() {
    assert_eq!(
        failure(&with("MAILMESH_NATS__REPLICAS", "many")),
        "nats.replicas in variable MAILMESH_NATS__REPLICAS: expected a whole number, found \"many\""
    );
    assert_eq!(
        failure(&with("MAILMESH_NATS__REPLICA", "1")),
        "nats.replica in variable MAILMESH_NATS__REPLICA is no setting, did you mean nats.replicas?"
    );
}

#[test]
fn secret_in_the_wrong_place_is_not_shown() {
    let text = failure(&with("MAILMESH_NATS__PASSWORD_FILE", "hunter2"));

    assert!(text.starts_with("nats.password_file in variable"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn variable_that_sets_nothing_is_refused() {
    for (name, meant) in [
        ("MAILMESH_NATS_URL", Some("MAILMESH_NATS__URL")),
        ("MAILMESH_NATZ__URL", Some("MAILMESH_NATS__URL")),
        ("MAILMESH_WHATEVER", None),
    ] {
        let expected = match meant {
            Some(meant) => format!("variable {name} is no setting, did you mean {meant}?"),
            None => format!("variable {name} is no setting"),
        };
        assert_eq!(failure(&with(name, "x")), expected);
    }
}

#[test]
fn missing_value_says_how_to_set_it() {
    let loader = Loader::new(&["nats", "limits"]).defaults("[nats]\nreplicas = 1\nprefix = \"\"");

    assert_eq!(
        failure(&loader),
        "nats.url is not set: add it to the configuration file or set MAILMESH_NATS__URL"
    );
}

#[test]
fn broken_and_absent_files_are_named() {
    let (broken, path) = with_file("[nats\nurl = 1\n");
    let absent = loader().file("/nonexistent/mailmesh.toml");

    let text = failure(&broken);
    std::fs::remove_file(&path).unwrap();

    assert!(
        text.contains(&path.display().to_string()) && text.contains("line 1"),
        "{text}"
    );
    assert!(failure(&absent).contains("/nonexistent/mailmesh.toml"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let (loader, path) = with_file(
        "[nats]\nurl = \"x\"\nreplica = 3\n[natz]\nx = 1\n[limits]\nper_minute = \"many\"\n",
    );
    let loader = loader.variables([("MAILMESH_NATS_URL".to_owned(), "x".to_owned())]);

    let text = failure(&loader);
    std::fs::remove_file(&path).unwrap();

    assert!(text.starts_with("4 settings are wrong: "), "{text}");
    let file = path.display();
    for part in [
        "variable MAILMESH_NATS_URL is no setting".to_owned(),
        format!("natz in {file} is no setting"),
        format!("nats.replica in {file} is no setting"),
        format!("limits.per_minute in {file}: expected a whole number"),
    ] {
        assert!(text.contains(&part), "{part} in {text}");
    }
}
