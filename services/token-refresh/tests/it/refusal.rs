//! Refusals in other words than RFC 6749's: who is called, and when.

use anyhow::{Context, Result};
use mailmesh_domain::{AccountState, GrantState, Key, MustAct};
use mailmesh_events::account::AccountSignInRequired;
use mailmesh_events::token::TokenRefreshFailed;
use mailmesh_sandbox::{Fault, Personality};
use mailmesh_store::account_status;
use mailmesh_store::grant::Grant;
use serde_json::Value;

use crate::world::World;

fn reply_of(case: &Value) -> Result<Fault> {
    let code = u16::try_from(case["status"].as_u64().context("no status")?)?;
    let body = case["body"].to_string();
    Ok(match code {
        200 => Fault::Reply { text: body },
        code => Fault::Status {
            code,
            retry_after: None,
            body: Some(body),
        },
    })
}

async fn account_state(world: &World, grant: &Grant) -> Result<AccountState> {
    let mut tx = world.base.begin().await?;
    let accounts = mailmesh_store::account::list_by_client(&mut tx, world.client.id).await?;
    let account = accounts
        .iter()
        .find(|account| account.grant_id == Some(grant.id));
    let id = account.context("no account")?.id;
    let status = account_status::list_by_ids(&mut tx, &[id]).await?.pop();
    Ok(status.context("no status")?.state)
}

#[tokio::test]
async fn refusals_that_go_on_past_the_tokens_end_offer_a_sign_in_and_are_tried_again() -> Result<()>
{
    let cases = include_str!("../../../../libs/oauth/tests/cases/answers.json");
    let cases: Vec<Value> = serde_json::from_str(cases)?;
    let unclear = cases.iter().filter(|case| {
        case["on"] == "refresh"
            && case["body"]["error"].is_string()
            && case["body"]["error"] != "invalid_grant"
    });
    for case in unclear {
        let world = World::new(Personality::Standard).await?;
        let grant = world.grant("alice").await?;
        world.fail_refreshes(None, reply_of(case)?)?;
        let replica = world.start().await?;

        world.ask(&grant, 1).await?;
        for failures in 1..=3 {
            let failed = world
                .until("a refusal", &grant, |grant| grant.failures >= failures)
                .await?;
            let problem = failed.problem.context("no problem")?;
            assert_eq!(problem.must_act, MustAct::Administrator, "{case}");
            assert!(!problem.offers_sign_in(), "the mailbox still works: {case}");
            // The slow probe, with its jitter.
            world.advance(17);
        }
        world.advance(61);
        let offered = world
            .until("a sign-in that is offered", &grant, |grant| {
                grant.account_state() == Some(AccountState::SignInRequired)
            })
            .await?;
        let problem = offered.problem.context("no problem")?;
        let event: AccountSignInRequired = world.base.first_event("alice").await?;

        assert_eq!(problem.must_act, MustAct::MailboxOwner, "{case}");
        assert_eq!(
            problem.also_must_act,
            Some(MustAct::Administrator),
            "{case}"
        );
        assert_eq!(event.problem, problem, "{case}");
        assert_eq!(
            account_state(&world, &grant).await?,
            AccountState::SignInRequired,
            "{case}"
        );

        world.sandbox.faults().clear();
        world.advance(20);
        world
            .until("a new token by itself", &grant, |grant| {
                grant.generation == 2
            })
            .await?;
        world.base.published("account.recovered.alice", 1).await?;
        replica.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_rule_on_devices_is_told_to_the_administrator_of_the_tenant() -> Result<()> {
    let world = World::new(Personality::Microsoft).await?;
    let grant = world.grant("alice").await?;
    let body = r#"{"error":"invalid_grant","error_description":"AADSTS530003: Your device is required to be managed to access this resource.","error_codes":[530003],"suberror":"message_only"}"#;
    let fault = Fault::Status {
        code: 400,
        retry_after: None,
        body: Some(body.to_owned()),
    };
    world.fail_refreshes(None, fault)?;
    let replica = world.start().await?;

    world.ask(&grant, 1).await?;
    let refused = world
        .until("a suspension", &grant, |grant| {
            grant.state == GrantState::Suspended
        })
        .await?;

    let told: TokenRefreshFailed = world.base.first_event(&grant.id.to_string()).await?;
    let accounts: Vec<&str> = told.accounts.iter().map(Key::as_str).collect();
    let problem = refused.problem.context("no problem")?;
    assert_eq!(accounts, ["alice", "alice-out"]);
    assert_eq!(problem.must_act, MustAct::TenantAdministrator);
    assert_eq!(problem.code.as_deref(), Some("AADSTS530003"));
    assert_eq!(account_state(&world, &grant).await?, AccountState::Failing);
    replica.stop().await
}
