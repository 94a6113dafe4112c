//! A whole mail provider in one process for demos and tests, with scripted faults.
