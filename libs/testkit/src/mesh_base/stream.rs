use super::MeshBase;

impl MeshBase {
    /// Deletes one of the mesh's streams behind the services' back, with all that is in it.
    pub async fn delete_stream(&self, name: &str) -> anyhow::Result<()> {
        let bus = &self.address.bus;
        let client = async_nats::connect(&bus.url).await?;
        let jetstream = async_nats::jetstream::new(client);
        jetstream
            .delete_stream(format!("{}_{name}", bus.prefix))
            .await?;
        Ok(())
    }
}
