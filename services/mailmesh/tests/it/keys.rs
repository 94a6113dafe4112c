//! Key files and their rotation.

use mailmesh_secrets::{OpeningKeys, SealingKey, SecretString};

use crate::command::{Folder, run};

async fn keys(folder: &Folder, step: &[&str]) -> (Option<i32>, String) {
    let path = folder.path().join("keys");
    let out = ["keys", "--out", path.to_str().unwrap()];
    let ended = run(&[&out, step].concat(), &[]).await;
    (ended.code, ended.output)
}

fn read(folder: &Folder) -> (OpeningKeys, SealingKey) {
    let text = |name: &str| std::fs::read_to_string(folder.path().join("keys").join(name));
    let opening = SecretString::from(text("opening.key").unwrap());
    let sealing = SealingKey::parse(&text("sealing.key").unwrap()).unwrap();
    (OpeningKeys::parse(&opening).unwrap(), sealing)
}

#[tokio::test]
async fn a_new_key_seals_only_once_it_is_promoted() {
    let folder = Folder::new("keys");
    let (code, output) = keys(&folder, &[]).await;
    assert_eq!(code, Some(0), "{output}");
    let (before, sealed_before) = read(&folder);

    let (added, output) = keys(&folder, &["--add"]).await;
    let (during, sealed_during) = read(&folder);
    let (promoted, _) = keys(&folder, &["--promote"]).await;
    let (after, sealed_after) = read(&folder);

    assert_eq!((added, promoted), (Some(0), Some(0)));
    assert!(output.contains("--promote"), "{output}");
    assert_eq!(sealed_before, sealed_during);
    assert_eq!(during.sealing_key(), before.sealing_key());
    let [old, new] = during.key_ids()[..] else {
        panic!("{during:?}")
    };
    assert_eq!(after.key_ids(), [new, old]);
    assert_eq!(
        (sealed_after.key_id(), after.sealing_key()),
        (new, sealed_after)
    );
}

#[tokio::test]
async fn keys_that_are_there_are_not_lost() {
    let folder = Folder::new("keys");
    for step in ["--add", "--promote"] {
        let (code, output) = keys(&folder, &[step]).await;
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("opening.key"), "{output}");
    }
    keys(&folder, &[]).await;
    let before = read(&folder);

    let (again, output) = keys(&folder, &[]).await;
    let (promoted, _) = keys(&folder, &["--promote"]).await;

    assert_eq!((again, promoted), (Some(1), Some(1)), "{output}");
    assert_eq!(read(&folder).0.key_ids(), before.0.key_ids());
}
