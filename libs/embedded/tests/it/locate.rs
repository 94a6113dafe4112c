use std::sync::Mutex;

use mailmesh_embedded::{EmbeddedError, Locator, Silent, find_nats, find_postgres};

use crate::scratch::{Scratch, locator};

#[tokio::test]
async fn too_old_programs_are_passed_over() {
    let scratch = Scratch::new().unwrap();
    scratch
        .program("nats-server", "nats-server: v2.9.10")
        .unwrap();
    let new = Scratch::new().unwrap();
    let wanted = new.program("nats-server", "nats-server: v2.12.0").unwrap();
    let told = Mutex::new(Vec::new());
    let progress = |line: &str| told.lock().unwrap().push(line.to_owned());
    let locator = Locator {
        folders: vec![scratch.path().to_owned(), new.path().to_owned()],
        ..locator()
    };

    let found = find_nats(&locator, &progress).await.unwrap();

    assert_eq!(found.path(), wanted);
    assert!(
        told.lock()
            .unwrap()
            .iter()
            .any(|line| line.contains("2.9 is too old")),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_given_path_that_is_too_old_is_an_error() {
    let scratch = Scratch::new().unwrap();
    let path = scratch
        .program("nats-server", "nats-server: v2.9.10")
        .unwrap();
    let locator = Locator {
        nats_server: Some(path),
        ..locator()
    };

    let error = find_nats(&locator, &Silent).await.unwrap_err();

    assert!(matches!(error, EmbeddedError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("too old"), "{error}");
}

#[tokio::test]
async fn nothing_found_names_the_command_that_installs_it() {
    let locator = Locator {
        folders: Vec::new(),
        may_fetch: false,
        ..locator()
    };

    let error = find_nats(&locator, &Silent).await.unwrap_err();

    assert!(matches!(error, EmbeddedError::NotFound { .. }), "{error}");
    assert!(error.hint().contains("go install"), "{}", error.hint());
}

#[tokio::test]
async fn a_postgres_whose_initdb_is_of_another_version_is_passed_over() {
    let scratch = Scratch::new().unwrap();
    scratch
        .program("postgres", "postgres (PostgreSQL) 17.1")
        .unwrap();
    scratch
        .program("initdb", "initdb (PostgreSQL) 15.3")
        .unwrap();
    let locator = Locator {
        folders: vec![scratch.path().to_owned()],
        ..locator()
    };

    let found = find_postgres(&locator, &Silent).await.unwrap();

    assert_ne!(found.bin_dir(), scratch.path());
    assert!(found.major() >= 15);
}

#[tokio::test]
async fn only_the_major_version_that_wrote_the_data_will_do() {
    let scratch = Scratch::new().unwrap();
    scratch
        .program("postgres", "postgres (PostgreSQL) 77.1")
        .unwrap();
    scratch
        .program("initdb", "initdb (PostgreSQL) 77.1")
        .unwrap();
    let locator = Locator {
        folders: vec![scratch.path().to_owned()],
        postgres_major: Some(77),
        ..locator()
    };

    let found = find_postgres(&locator, &Silent).await.unwrap();

    assert_eq!(found.major(), 77);
}
