//! Process chassis: configuration, telemetry, life cycle, health and metrics server, exit codes.
