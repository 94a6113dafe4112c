# The image of every service: `docker build -t mailmesh .`, then `docker run mailmesh <service>`.
# Builds with the classic builder too. deploy/Dockerfile.prebuilt takes a binary that is built already.
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /source
COPY . .
RUN cargo build --locked --profile dist --package mailmesh-cli --bin mailmesh

FROM ${RUNTIME_IMAGE}
# Providers' certificates are checked against the system's roots.
RUN test -s /etc/ssl/certs/ca-certificates.crt \
 || (apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*)
RUN groupadd --system --gid 10001 mailmesh \
 && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/mailmesh --create-home mailmesh \
 && install -d -m 700 -o mailmesh -g mailmesh /var/lib/mailmesh/keys /var/lib/mailmesh/sealing \
 && for user in admin auth-callback token-refresh inbound-fetcher outbound-sender operator clients support-desk \
      nats postgres roles owner; do install -d -m 755 -o mailmesh -g mailmesh /var/lib/mailmesh/credentials/$user; done
COPY --from=build /source/target/dist/mailmesh /usr/local/bin/mailmesh
USER 10001:10001
WORKDIR /var/lib/mailmesh
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["mailmesh", "healthcheck"]
ENTRYPOINT ["mailmesh"]
