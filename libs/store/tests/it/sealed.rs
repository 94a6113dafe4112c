use anyhow::Result;
use mailmesh_secrets::{OpeningKeys, SecretString};
use mailmesh_store::sealed::{self, SealedColumn, StoredSecret};

use crate::sample;
use crate::world::World;

#[tokio::test]
async fn a_secret_is_replaced_unless_it_was_changed_meanwhile() -> Result<()> {
    let world = World::new().await?;
    let mut tx = world.database.begin().await?;
    let client = sample::stored_client(&mut tx, "example").await?;
    for subject in ["one", "two", "three"] {
        sample::stored_grant(&mut tx, client, subject).await?;
    }
    let keys = OpeningKeys::generate()?;
    let plain = SecretString::from("token");

    for column in SealedColumn::ALL {
        let all = sealed::list(&mut tx, column, None, 10).await?;
        let Some(first) = all.first() else { continue };
        let rest = sealed::list(&mut tx, column, Some(first.context.row), 10).await?;
        let some = sealed::list(&mut tx, column, None, 1).await?;
        assert_eq!((rest.len(), some.len()), (all.len() - 1, 1), "{column:?}");

        let anew = keys.sealing_key().seal(&plain, &first.context)?;
        assert!(sealed::replace(&mut tx, column, first, &anew).await?);
        assert!(!sealed::replace(&mut tx, column, first, &anew).await?);
        let stored = sealed::list(&mut tx, column, None, 1).await?;
        assert!(keys.open(&stored[0].sealed, &stored[0].context).is_ok());
    }

    let tokens = sealed::list(&mut tx, SealedColumn::AccessToken, None, 10).await?;
    assert_eq!(tokens.len(), 3);
    let newest = sealed::list_newest(&mut tx, SealedColumn::AccessToken, 2).await?;
    let rows = |secrets: &[StoredSecret]| -> Vec<[u8; 16]> {
        secrets.iter().map(|secret| secret.context.row).collect()
    };
    let mut last = rows(&tokens[1..]);
    last.reverse();
    assert_eq!(rows(&newest), last);
    Ok(())
}
