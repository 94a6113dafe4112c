//! Servers on which everybody has a user of their own.

use anyhow::Context;
use mailmesh_bus::{
    AccountScope, BusinessScope, BusinessSystem, NatsUser, Permissions, ServiceUser,
    accounts_config,
};
use mailmesh_embedded::{Nats, Postgres};
use mailmesh_secrets::ExposeSecret;
use mailmesh_store::{Database, DatabaseSettings, ServiceRole};
use mailmesh_testkit::{MeshAddress, TestFolder, own_nats_with, own_postgres};
use mailmesh_tests::{Locked, Service, SignIn};

/// Everybody's; who knows it is not what these tests are about.
const PASSWORD: &str = "planted-password-of-everybody-Xw3";
/// May send from `support-out` and read the mail of `support`, with the consumer `desk`.
pub(crate) const DESK: &str = "desk";
/// May use every account.
pub(crate) const CLIENTS: &str = "clients";
pub(crate) const OPERATOR: &str = "operator";
/// The test itself, which may do everything.
pub(crate) const TESTER: &str = "tester";

pub(crate) struct Servers {
    pub(crate) nats: Nats,
    pub(crate) address: MeshAddress,
    pub(crate) sign_ins: Vec<SignIn>,
    _postgres: Postgres,
    _folder: TestFolder,
}

impl Servers {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = TestFolder::new("locked")?;
        let postgres = own_postgres(&folder).await?;
        let mut address = MeshAddress::on("", postgres.url());
        let nats = own_nats_with(&folder, &accounts(&address.bus.prefix)).await?;
        address.bus.url = url(&nats, TESTER);
        let owner = database(&address).await?;
        owner.grant_roles().await?;
        let mut sign_ins = Vec::new();
        for (service, role) in Service::ALL.into_iter().zip(ServiceRole::ALL) {
            owner
                .set_password(role, &PASSWORD.to_owned().into())
                .await?;
            let (name, port) = (role.name(), postgres.port());
            let postgres_url = format!("postgres://{name}:{PASSWORD}@127.0.0.1:{port}/mailmesh");
            sign_ins.push(SignIn {
                service,
                nats_url: url(&nats, service.name()),
                inbox_prefix: inbox(service.name()),
                postgres_url: postgres_url.into(),
            });
        }
        owner.close().await;
        Ok(Self {
            nats,
            address,
            sign_ins,
            _postgres: postgres,
            _folder: folder,
        })
    }

    pub(crate) fn locked(&self) -> Locked {
        Locked {
            address: self.address.clone(),
            sign_ins: self.sign_ins.clone(),
        }
    }

    pub(crate) fn url(&self, user: &str) -> String {
        url(&self.nats, user)
    }

    /// Connects to Postgres as a service.
    pub(crate) async fn database_of(&self, service: Service) -> anyhow::Result<Database> {
        let sign_in = self.sign_ins.iter().find(|each| each.service == service);
        let mut address = self.address.clone();
        address.postgres_url = sign_in.context("no such service")?.postgres_url.clone();
        database(&address).await
    }
}

pub(crate) fn inbox(user: &str) -> String {
    format!("_INBOX_{user}")
}

fn url(nats: &Nats, user: &str) -> String {
    format!("nats://{user}:{PASSWORD}@127.0.0.1:{}", nats.port())
}

async fn database(address: &MeshAddress) -> anyhow::Result<Database> {
    let settings = DatabaseSettings {
        url: address.postgres_url.expose_secret().to_owned().into(),
        max_connections: 2,
        acquire_timeout: std::time::Duration::from_secs(20),
        ca_file: None,
    };
    Ok(Database::connect(&settings).await?)
}

fn accounts(prefix: &str) -> String {
    let password = format!("\"{PASSWORD}\"");
    let user = |name: &str, permissions: Option<Permissions>| NatsUser {
        comment: String::new(),
        name: name.to_owned(),
        password: password.clone(),
        permissions,
    };
    let operator = Permissions::of_operator(prefix, &inbox(OPERATOR));
    let mut mesh = vec![user(TESTER, None), user(OPERATOR, Some(operator))];
    for service in ServiceUser::ALL {
        let (name, inbox) = (service.name(), inbox(service.name()));
        let rights = Permissions::of_service(service, prefix, &inbox);
        mesh.push(user(name, Some(rights)));
    }
    let scope = AccountScope {
        sends_from: &["support-out"],
        receives_for: &["support"],
        consumers: &["desk"],
    };
    let (desk_inbox, clients_inbox) = (inbox(DESK), inbox(CLIENTS));
    let system = |name, scope, inbox_prefix| BusinessSystem {
        comment: "",
        name,
        password: &password,
        scope,
        inbox_prefix,
    };
    let systems = [
        system(DESK, BusinessScope::Accounts(scope), &desk_inbox),
        system(CLIENTS, BusinessScope::Everything, &clients_inbox),
    ];
    accounts_config(prefix, &mesh, &systems)
}
